"""Phrases: counts, scores and joined lines equal to the slow way; pruning after joining; the cache; gensim."""

import gc
import hashlib
import io
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.tokens import kept_tokens

from rnncli.config.text import PhrasesConfig
from rnncli.data import phrases
from rnncli.data.idstore import build_id_store
from rnncli.data.phrases import Lines, build_phrased_store, find_pairs, join_phrases
from rnncli.data.streams import STDIN
from rnncli.data.tokenise import Tokenizer
from rnncli.errors import CorpusError, UsageError
from rnncli.events import Note, PhaseStarted, Progressed

WHITESPACE = Tokenizer("whitespace", False)


def slow_scores(lines, discount):
    """Score of every pair of neighbours, with its count."""
    words = Counter(word for line in lines for word in line)
    pairs = Counter(pair for line in lines for pair in pairwise(line))
    total = sum(words.values())
    return {(a, b): (n, (n - discount) / (words[a] * words[b]) * total) for (a, b), n in pairs.items()}


def slow_join(lines, config):
    for i in range(config.passes):
        threshold = config.threshold / 2**i if config.halve_threshold else config.threshold
        scores = {pair: score for pair, (_, score) in slow_scores(lines, config.discount).items()}
        joined = []
        for line in lines:
            out, rest = [], list(line)
            while rest:
                if len(rest) > 1 and scores[rest[0], rest[1]] > threshold:
                    out.append(rest.pop(0) + config.separator + rest.pop(0))
                else:
                    out.append(rest.pop(0))
            joined.append(out)
        lines = joined
    return lines


def stored(tmp_path, lines):
    path = tmp_path / "corpus.txt"
    path.write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    return build_id_store([path], WHITESPACE, 1, None, False, None)


def lines_of(store):
    return [
        [store.vocab.tokens[i] for i in store.ids[a:b]]
        for a, b in zip(store.offsets[:-1], store.offsets[1:], strict=True)
    ]


def joined(tmp_path, lines, min_count=1, max_vocab=None, **config):
    folder = tmp_path / "joined"
    folder.mkdir()
    return join_phrases(stored(tmp_path, lines), PhrasesConfig(**config), min_count, max_vocab, folder)


CORPORA = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "a_b", "é"]), max_size=9), min_size=1, max_size=12)


@settings(deadline=None, max_examples=150)
@given(
    lines=CORPORA,
    passes=st.integers(0, 3),
    threshold=st.floats(0.05, 8),
    discount=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    halve=st.booleans(),
    separator=st.sampled_from(["_", "++"]),
    min_count=st.integers(1, 3),
    max_vocab=st.one_of(st.none(), st.integers(1, 4)),
    step=st.integers(1, 20),
    slots=st.sampled_from([4, 8, 1 << 16]),
)
def test_joined_lines_equal_the_slow_way(
    tmp_path_factory, lines, passes, threshold, discount, halve, separator, min_count, max_vocab, step, slots
):
    config = PhrasesConfig(
        passes=passes, threshold=threshold, discount=discount, halve_threshold=halve, separator=separator
    )
    expected = slow_join(lines, config)
    counts = Counter(token for line in expected for token in line)
    if not counts:
        return
    kept = kept_tokens(counts, min_count, max_vocab)
    folder = tmp_path_factory.mktemp("joined")
    store = stored(tmp_path_factory.mktemp("corpus"), lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases, "STEP_TOKENS", step)
        patch.setattr(phrases, "FIRST_TABLE", 4)
        patch.setattr(phrases, "LARGEST_TABLE", slots)
        patch.setattr(phrases, "LARGEST_FILTER", slots)
        if not kept:
            with pytest.raises(CorpusError, match=r"after joining phrases .* min_count"):
                join_phrases(store, config, min_count, max_vocab, folder)
            return
        corpus = join_phrases(store, config, min_count, max_vocab, folder)
    assert corpus.vocab.tokens == kept
    assert corpus.vocab.counts.tolist() == [counts[token] for token in kept]
    assert lines_of(corpus) == [[token for token in line if token in kept] for line in expected]
    assert (corpus.ids.dtype, corpus.offsets.dtype) == (np.int32, np.int64)
    report = corpus.report
    assert (report.kept_types, report.dropped_types) == (len(kept), len(counts) - len(kept))
    assert (report.total_tokens, report.dropped_tokens) == (counts.total(), counts.total() - corpus.tokens)
    words = {token for line in lines for token in line}
    assert corpus.phrases == len(set(kept) - words)


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    types=st.integers(1, 40),
    threshold=st.floats(0.01, 30),
    discount=st.sampled_from([0.0, 1.0, 5.0]),
    small=st.booleans(),
)
def test_pairs_and_scores_equal_the_slow_way(seed, types, threshold, discount, small):
    draws = np.random.default_rng(seed)
    ids = np.minimum(draws.zipf(1.4, 600) - 1, types - 1).astype(np.int32)
    offsets = np.concatenate([[0], np.sort(draws.integers(0, 601, 20)), [600]]).astype(np.int64)
    lines = [ids[a:b].tolist() for a, b in pairwise(offsets)]
    expected = {pair: found for pair, found in slow_scores(lines, discount).items() if found[1] > threshold}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases, "FIRST_TABLE", 4)
        if small:  # a filter in which keys meet, and a table that the pairs do not fit into
            patch.setattr(phrases, "LARGEST_TABLE", 16)
            patch.setattr(phrases, "LARGEST_FILTER", 64)
        found = find_pairs(Lines(ids, offsets), np.bincount(ids, minlength=types), threshold, discount)
    rows = zip(*(column.tolist() for column in found), strict=True)
    assert [(a, b, n, score) for a, b, n, score in rows] == [(a, b, *expected[a, b]) for a, b in sorted(expected)]


def test_a_pair_counted_more_often_than_a_byte_holds():
    ids = np.tile(np.array([0, 1, 2], np.int32), 1000)
    found = find_pairs(Lines(ids, np.array([0, 3000])), np.full(3, 1000), 0.5, 500.0)
    assert list(zip(found.firsts, found.seconds, found.tallies, strict=True)) == [
        (0, 1, 1000),
        (1, 2, 1000),
        (2, 0, 999),
    ]


def test_overlaps_line_ends_and_repeats(tmp_path):
    lines = [["a", "b", "a", "b"], ["a"], [], ["b", "a"]]
    corpus = joined(tmp_path, lines, passes=1, threshold=0.9, discount=0.0)
    # a b: 2 / 9 * 7 = 1.6; b a: 2 / 9 * 7 = 1.6, but the left pair wins; nothing reaches over a line end
    assert lines_of(corpus) == [["a_b", "a_b"], ["a"], [], ["b_a"]]
    assert corpus.offsets.tolist() == [0, 2, 3, 3, 4]


def test_a_word_repeated_is_joined_two_by_two(tmp_path):
    corpus = joined(tmp_path, [["no", "no", "no"]], passes=1, threshold=0.5, discount=0.0)  # 2 / 9 * 3 = 0.67
    assert lines_of(corpus) == [["no_no", "no"]]


def test_the_threshold_itself_is_not_above_it(tmp_path):
    lines = [["a", "b"], ["c", "d"]]  # 1 / (1 * 1) * 4 = 4
    corpus = joined(tmp_path, lines, passes=1, threshold=4.0, discount=0.0)
    assert (lines_of(corpus), corpus.phrases) == (lines, 0)
    (tmp_path / "again").mkdir()
    assert lines_of(joined(tmp_path / "again", lines, passes=1, threshold=3.999, discount=0.0)) == [["a_b"], ["c_d"]]


def test_passes_make_longer_phrases_and_halving_goes_lower(tmp_path):
    lines = [["a", "b", "c"]] * 4 + [["c"]] * 4 + [["x"]] * 10
    # pass 1: a b 4 / (4 * 4) * 26 = 6.5, b c 4 / (4 * 8) * 26 = 3.25; pass 2: a_b c 4 / (4 * 8) * 22 = 2.75
    for folder, config, expected in [
        ("one", {"passes": 1, "threshold": 4.0}, ["a_b", "c"]),
        ("two", {"passes": 2, "threshold": 4.0}, ["a_b", "c"]),
        ("low", {"passes": 2, "threshold": 2.7}, ["a_b_c"]),
        ("halved", {"passes": 2, "threshold": 4.0, "halve_threshold": True}, ["a_b_c"]),
        ("late", {"passes": 4, "threshold": 20.0, "halve_threshold": True}, ["a_b_c"]),  # 20, 10, 5, 2.5
    ]:
        (tmp_path / folder).mkdir()
        corpus = joined(tmp_path / folder, lines, discount=0.0, **config)
        assert lines_of(corpus)[0] == expected, folder


def test_words_are_pruned_after_joining(tmp_path):
    lines = [["new", "york"]] * 6 + [["new"], ["york"], ["new", "car"]] + [["other"]] * 30
    corpus = joined(tmp_path, lines, min_count=3, passes=1, threshold=2.0, discount=1.0)
    # new (8) and york (7) were frequent enough; alone they are not any more
    assert corpus.vocab.tokens == ["other", "new_york"]
    assert corpus.vocab.counts.tolist() == [30, 6]
    assert lines_of(corpus)[5:10] == [["new_york"], [], [], [], ["other"]]
    assert (corpus.report.dropped_types, corpus.report.dropped_tokens) == (3, 4)
    assert corpus.phrases == 1


def test_a_phrase_spelt_like_a_word_is_that_word(tmp_path):
    lines = [["a", "b"]] * 4 + [["a_b"], ["a_b", "c"], ["x"]]
    corpus = joined(tmp_path, lines, passes=1, threshold=1.0, discount=1.0)
    assert lines_of(corpus) == [["a_b"]] * 5 + [["a_b", "c"], ["x"]]
    assert corpus.vocab.tokens == ["a_b", "c", "x"]
    assert corpus.phrases == 0


def test_the_digest_is_that_of_the_content(tmp_path):
    lines = [["a", "b"]] * 6 + [["c", "d"]] * 3
    digests = {}
    for name, text, config in [
        ("first", lines, {"threshold": 1.0}),
        ("again", lines, {"threshold": 1.5}),  # joins the same
        ("off", lines, {"threshold": 50.0}),
        ("word", [["a", "e"]] * 6 + [["c", "d"]] * 3, {"threshold": 1.0}),
        ("lines", [*lines, []], {"threshold": 1.0}),
        ("order", lines[::-1], {"threshold": 1.0}),
    ]:
        (tmp_path / name).mkdir()
        digests[name] = joined(tmp_path / name, text, passes=2, discount=0.0, **config).sha256
    assert digests.pop("again") == digests["first"]
    assert len(set(digests.values())) == 5
    assert all(len(digest) == 64 for digest in digests.values())


def test_a_store_with_unknown_words_is_refused(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("a b\n")
    store = build_id_store([path], WHITESPACE, 1, None, True, None)
    with pytest.raises(ValueError, match="unknown=False"):
        join_phrases(store, PhrasesConfig(passes=1), 1, None, tmp_path)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("new york\n" * 6 + "the end\n" * 2)
    return path


PHRASES = PhrasesConfig(passes=2, threshold=1.0, discount=1.0)


def test_without_passes_it_is_the_plain_store(corpus):
    store = build_phrased_store([corpus], WHITESPACE, PhrasesConfig(), 3, None, None)
    assert store.vocab.tokens == ["new", "york"]
    assert store.sha256 == hashlib.sha256(corpus.read_bytes()).hexdigest()


def test_a_second_run_reuses_and_other_settings_do_not(corpus, tmp_path):
    cache, events = tmp_path / "cache", []
    first = build_phrased_store([corpus], WHITESPACE, PHRASES, 3, None, cache, events.append)
    assert (first.vocab.tokens, first.vocab.counts.tolist()) == (["new_york"], [6])
    phases = [e for e in events if isinstance(e, PhaseStarted)]
    assert [e.phase for e in phases[1:]] == ["joining phrases, pass 1 of 2", "joining phrases, pass 2 of 2"]
    progress = [e.done for e in events[events.index(phases[1]) : events.index(phases[2])] if isinstance(e, Progressed)]
    assert progress == sorted(progress)
    assert progress[-1] == phases[1].total == 3 * 16
    assert len(list(cache.iterdir())) == 2
    assert sorted(file.name for file in cache.glob("*/pass*")) == []
    events.clear()
    again = build_phrased_store([corpus], WHITESPACE, PHRASES, 3, None, cache, events.append)
    assert [type(e) for e in events] == [Note, Note]
    assert (lines_of(again), again.sha256, again.phrases) == (lines_of(first), first.sha256, 1)
    assert again.report == first.report
    for change in [{"passes": 1}, {"threshold": 2.0}, {"discount": 0.5}, {"separator": "~"}, {"halve_threshold": True}]:
        build_phrased_store([corpus], WHITESPACE, PHRASES.model_copy(update=change), 3, None, cache)
    build_phrased_store([corpus], WHITESPACE, PHRASES, 1, None, cache)
    build_phrased_store([corpus], WHITESPACE, PHRASES, 3, 7, cache)
    assert len(list(cache.iterdir())) == 9
    for file in cache.glob("*/vocabulary.json"):
        file.write_text("{}")
    assert lines_of(build_phrased_store([corpus], WHITESPACE, PHRASES, 3, None, cache)) == lines_of(first)


def test_what_is_not_kept_leaves_nothing_behind(corpus, tmp_path, monkeypatch):
    temporary, cache = tmp_path / "temporary", tmp_path / "cache"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(corpus.read_bytes())))
    store = build_phrased_store([STDIN], WHITESPACE, PHRASES, 3, None, cache)
    assert store.vocab.tokens == ["new_york"]
    del store
    gc.collect()
    assert list(temporary.iterdir()) == list(cache.iterdir()) == []
    with pytest.raises(CorpusError, match=r"min_count = 7 times .*6 times"):
        build_phrased_store([corpus], WHITESPACE, PHRASES, 7, None, None)
    with pytest.raises(UsageError, match="no such file"):
        build_phrased_store([tmp_path / "none"], WHITESPACE, PHRASES, 7, None, None)
    gc.collect()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("separator", ["", " ", "a b", "\n"])
def test_a_separator_without_a_mark_or_with_space_is_refused(separator):
    with pytest.raises(ValueError, match="separator"):
        PhrasesConfig(separator=separator)


@pytest.mark.parametrize(("min_count", "threshold"), [(1, 0.7), (2, 3.3), (5, 1.9)])
def test_phrases_are_those_of_gensim(tmp_path, min_count, threshold):
    models = pytest.importorskip("gensim.models.phrases")
    draws = np.random.default_rng(7)
    lines = []
    for _ in range(300):
        words = [f"w{k}" for k in np.minimum(draws.zipf(1.3, 20), 80)]
        if draws.random() < 0.4:
            at = draws.integers(0, 18)
            words[at : at + 2] = ["new", "york"] if draws.random() < 0.6 else ["york", "new"]
        lines.append(words)
    peer = models.Phrases(lines, min_count=min_count, threshold=threshold, scoring="default", delimiter="_")
    # gensim multiplies by the number of types and pairs, word2phrase.c and we by the number of tokens
    ours = threshold / len(peer.vocab) * sum(len(line) for line in lines)
    corpus = joined(tmp_path, lines, passes=1, threshold=ours, discount=min_count)
    assert lines_of(corpus) == [peer[line] for line in lines]
    assert {t for t in corpus.vocab.tokens if "_" in t} == set(peer.find_phrases(lines))
    assert corpus.phrases > 0
