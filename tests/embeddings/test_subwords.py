"""Sub-words: n-grams as fastText cuts and hashes them, training on means of parts, vectors for unseen words."""

import hashlib

import numpy as np
import pytest
from reference.word2vec import subwords_span
from test_train_word2vec import GROUPS, PER_GROUP, config, planted

from rnncli.config.embeddings import SubwordsConfig
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.algorithms import first_tensors, trained_model
from rnncli.embeddings.continuation import continued
from rnncli.embeddings.query import nearest
from rnncli.embeddings.subwords import Ngrams, composed, subword_table
from rnncli.embeddings.train_word2vec import train_word2vec
from rnncli.events import ignore
from rnncli.kernels.subwords import most_parts, train_parts

WORDS = ["a", "the", "über", "naïve", "日本語", "don't", "x" * 40, "🙂ok"]


def ngrams_of(word, minn, maxn):
    """The n-grams of fastText's definition, in its order."""
    marked = f"<{word}>"
    found = []
    for i in range(len(marked)):
        for n in range(1, maxn + 1):
            gram = marked[i : i + n]
            if (
                len(gram) == n
                and n >= minn
                and not (n == 1 and gram in (marked[0], marked[-1]) and i in (0, len(marked) - 1))
            ):
                found.append(gram)
    return found


def fnv(text):
    """32-bit FNV-1a over bytes as signed characters."""
    h = 2166136261
    for byte in text.encode():
        h = ((h ^ ((byte | 0xFFFFFF00) if byte >= 128 else byte)) * 16777619) & 0xFFFFFFFF
    return h


@pytest.mark.parametrize(("minn", "maxn"), [(3, 6), (1, 1), (1, 3), (2, 2), (5, 9)])
def test_parts_are_the_word_and_its_ngrams(minn, maxn):
    table = subword_table(WORDS, SubwordsConfig(minn=minn, maxn=maxn, bucket=1000))
    for v, word in enumerate(WORDS):
        rows = table.rows[table.starts[v] : table.starts[v + 1]].tolist()
        assert rows == [v] + [len(WORDS) + fnv(gram) % 1000 for gram in ngrams_of(word, minn, maxn)]


def test_ngrams_are_those_of_the_fasttext_package(tmp_path):
    fasttext = pytest.importorskip("fasttext")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(" ".join(WORDS) + "\n", encoding="utf-8")
    peer = fasttext.train_unsupervised(
        str(corpus), minCount=1, minn=3, maxn=6, bucket=777, dim=2, epoch=1, thread=1, verbose=0
    )
    for word in WORDS:
        grams, ids = peer.get_subwords(word)
        own = subword_table([word], SubwordsConfig(minn=3, maxn=6, bucket=777))
        assert (own.rows[1:] - 1).tolist() == [i - len(peer.words) for i in ids[1:]], grams


def test_composed_vectors_are_means_of_parts():
    chosen = SubwordsConfig(minn=2, maxn=4, bucket=50)
    table = subword_table(WORDS, chosen)
    inputs = np.random.default_rng(0).normal(size=(len(WORDS) + 50, 5)).astype(np.float32)
    vectors = composed(inputs, table)
    for v in range(len(WORDS)):
        parts = table.rows[table.starts[v] : table.starts[v + 1]]
        np.testing.assert_allclose(vectors[v], inputs[parts].mean(axis=0), atol=1e-6)
    own = Ngrams(chosen, inputs[len(WORDS) :]).word_rows(WORDS, vectors)
    np.testing.assert_allclose(own, inputs[: len(WORDS)], atol=1e-4)


def test_most_parts_bounds_every_stretch_of_the_corpus():
    random = np.random.default_rng(1)
    ids, starts = random.integers(0, 9, 400).astype(np.int32), np.append(0, np.cumsum(random.integers(1, 30, 9)))
    parts = np.diff(starts)[ids]
    expected = max(parts[i : i + 27].sum() for i in range(400))
    assert most_parts(ids, starts, 0, 400, 21, 3) == expected


@pytest.mark.parametrize("cbow", [False, True])
def test_steps_are_those_of_the_definition(cbow):
    """Against a NumPy twin: means when a word comes into reach, whole steps for every part when it leaves."""
    random = np.random.default_rng(4)
    words, vocabulary, rows, window, dim = 14, 8, 12, 2, 16
    parts = [random.integers(0, rows, random.integers(1, 6)) for _ in range(words)]  # parts are shared, some twice
    starts = np.append(0, np.cumsum([len(p) for p in parts])).astype(np.int64)
    reach = random.integers(0, window + 1, words)
    low = np.maximum(np.arange(words) - reach, 0).astype(np.int32)
    high = np.minimum(np.arange(words) + reach + 1, words).astype(np.int32)
    outputs = np.array([random.permutation(vocabulary)[:4] for _ in range(words)], np.int32)
    outputs[3, 2] = -1
    z, y = random.normal(size=(rows, dim)), random.normal(size=(vocabulary + 1, dim))
    y[vocabulary] = 0.0  # the idle row
    flat_z, flat_y = z.astype(np.float32).ravel(), y.astype(np.float32).ravel()
    loss, _ = train_parts(
        flat_z, flat_y, np.concatenate(parts).astype(np.int32), starts, words, low, high, outputs,
        np.ones(words, np.int64), 0, words, np.int64(vocabulary), window, np.float32(0.1), dim, cbow,
    )  # fmt: skip
    expected = subwords_span(z, y, parts, low, high, outputs, window, 0.1, cbow)
    assert loss == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(flat_z.reshape(rows, dim), z, atol=2e-4)
    np.testing.assert_allclose(flat_y.reshape(-1, dim), y, atol=2e-4)


def names():
    """A word for each id of the planted corpus; words of a group begin alike."""
    return [f"group{chr(97 + g) * 3}{'xyzuv'[i] * 2}" for g in range(GROUPS) for i in range(PER_GROUP)]


def trained(**changes):
    chosen = config(epochs=15, lr=0.05, subwords=SubwordsConfig(minn=3, maxn=5, bucket=500), **changes)
    lines, counts = planted()
    table = subword_table(names(), chosen.subwords)
    states = []
    state = train_word2vec(lines, counts, chosen, ignore, on_epoch=states.append, subwords=table)
    return chosen, state, states, (lines, counts, table)


@pytest.mark.parametrize("algorithm", ["skipgram", "cbow"])
@pytest.mark.parametrize("mode", ["deterministic", "hogwild"])
def test_words_that_share_contexts_become_neighbours_and_unseen_words_join_them(mode, algorithm):
    chosen, state, _, (_, counts, _) = trained(mode=mode, algorithm=algorithm)
    assert state.losses[-1] < 0.85 * state.losses[0]
    model = trained_model(chosen, Vocabulary(names(), counts, has_unknown=False), state.tensors)
    near = [n.word[:8] == word[:8] for word in names() for n in nearest(model, [word], PER_GROUP - 1)[0].neighbors]
    assert np.mean(near) > 0.9
    result = nearest(model, ["groupbbbqq", "GROUPBBBQQ"], 5)
    for answer in result:
        assert answer.found
        assert all(n.word.startswith("groupbbb") for n in answer.neighbors)
    (empty,) = nearest(model, [""], 5)
    assert not empty.found


def test_training_goes_on_exactly_and_at_any_thread_count():
    chosen, state, states, (lines, counts, table) = trained()
    again = train_word2vec(lines, counts, chosen, ignore, start=states[6], subwords=table)
    one = train_word2vec(lines, counts, chosen.model_copy(update={"threads": 1}), ignore, subwords=table)
    digests = {hashlib.sha256(s.tensors["inputs"].tobytes()).hexdigest() for s in (state, again, one)}
    assert len(digests) == 1


def test_a_model_keeps_its_ngrams_and_training_goes_on_from_it():
    chosen, state, _, (_, counts, _) = trained()
    vocab = Vocabulary(names(), counts, has_unknown=False)
    model = trained_model(chosen, vocab, state.tensors)
    again = type(model).from_stored(model.to_tensors(), model.to_meta())
    np.testing.assert_array_equal(again.query_vectors(["groupcccq"])[0], model.query_vectors(["groupcccq"])[0])
    new = Vocabulary(["groupcccnew", *names()[3:9]], np.arange(9, 2, -1), has_unknown=False)
    begin = continued(chosen, new, again)
    assert begin.vocab.tokens[: len(new)] == new.tokens
    assert set(begin.vocab.tokens) == set(names()) | {"groupcccnew"}
    start = composed(begin.tensors["inputs"], subword_table(begin.vocab.tokens, chosen.subwords))
    np.testing.assert_allclose(start[begin.rows], model.vectors_VE, atol=1e-5)
    report = begin.report(start)
    assert (report.kept, report.added) == (len(names()), 1)


def test_plain_models_have_no_vector_for_unseen_words():
    chosen = config()
    tensors = first_tensors(chosen, 3)
    model = trained_model(chosen, Vocabulary(["ab", "bc", "cd"], np.ones(3, np.int64), has_unknown=False), tensors)
    assert model.tokenizer == Tokenizer("words")
    assert not model.query_vectors(["abc"])[1].any()
