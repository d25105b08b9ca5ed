"""What a round draws (windows, kept tokens, noise), and how shards are merged."""

import numpy as np
import pytest

from rnncli import rng
from rnncli.embeddings.sampling import alias_table, keep_probabilities, keep_thresholds, noise_probabilities
from rnncli.embeddings.train_word2vec import NO_CODES, NO_PATHS
from rnncli.kernels.word2vec_draws import Corpus, Keys, draw_outputs, draw_words
from rnncli.kernels.word2vec_rounds import merge_rows

COUNTS = np.array([4000, 1500, 700, 300, 120, 60, 20, 7, 5, 1], np.int64)
KEYS = Keys(*(rng.key(3, stream, 0) for stream in (rng.Stream.SUBSAMPLE, rng.Stream.WINDOW, rng.Stream.NEGATIVE)))


def make_corpus(lengths, sample=0.0, seed=0):
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    p = COUNTS / COUNTS.sum()
    ids = np.random.default_rng(seed).choice(len(COUNTS), int(offsets[-1]), p=p).astype(np.int32)
    return Corpus(
        ids, offsets, keep_thresholds(COUNTS, sample), *alias_table(noise_probabilities(COUNTS)), NO_PATHS, NO_CODES
    )


def drawn(corpus, start, end, window):
    """(centre position, set of context positions) as words of the kept text, for tokens start .. end - 1."""
    n = end - start + 2 * window
    words, low, high = (np.zeros(n, np.int32) for _ in range(3))
    positions, sizes = np.zeros(n, np.int64), np.zeros(16, np.int64)
    draw_words(words, low, high, sizes, positions, corpus, KEYS, start, end, window)
    _, first, last = sizes[:3]
    return [
        (int(positions[i]), int(words[i]), [int(words[j]) for j in range(low[i], high[i]) if j != i])
        for i in range(first, last)
    ]


@pytest.mark.parametrize("sample", [0.0, 3e-2])
@pytest.mark.parametrize("lengths", [[40], [1, 0, 3, 12, 1, 0, 0, 9, 14], [0, 0, 5, 35, 0]])
def test_windows_stay_inside_lines_and_do_not_see_where_shards_are_cut(lengths, sample):
    corpus, window = make_corpus(lengths, sample), 4
    whole = drawn(corpus, 0, 40, window)
    for cut in (1, 7, 13, 39):
        pieces = [item for a in range(0, 40, cut) for item in drawn(corpus, a, min(a + cut, 40), window)]
        assert pieces == whole
    positions = np.array([p for p, _, _ in whole])
    draws = rng.uint64s(KEYS.window, 40)
    for p, word, contexts in whole:
        reach = 1 + (int(draws[p]) >> 32) * window // 2**32
        assert 1 <= reach <= window
        line = np.searchsorted(corpus.offsets, p, side="right")
        same = positions[np.searchsorted(corpus.offsets, positions, side="right") == line]
        at = int(np.flatnonzero(same == p)[0])
        near = [*same[max(at - reach, 0) : at], *same[at + 1 : at + reach + 1]]
        assert contexts == [int(corpus.ids[q]) for q in near]
        assert word == corpus.ids[p]


def test_tokens_are_kept_as_often_as_the_formula_says():
    n, sample = 200_000, 1e-2
    corpus = make_corpus([n], sample)
    kept = np.bincount([word for _, word, _ in drawn(corpus, 0, n, 1)], minlength=len(COUNTS))
    seen = np.bincount(corpus.ids, minlength=len(COUNTS))
    p = keep_probabilities(COUNTS, sample)
    assert (p[:3] < 1.0).all()
    assert (p[-3:] == 1.0).all()
    assert (np.abs(kept - seen * p) <= 5.0 * np.sqrt(seen * p * (1 - p)) + 1e-9).all()
    t = sample * COUNTS.sum() / COUNTS[0]
    assert p[0] == pytest.approx(np.sqrt(t) + t)


def test_negatives_follow_the_noise_distribution_and_are_never_the_centre():
    n, k = 40_000, 5
    corpus = make_corpus([n])
    words, outputs = np.full(n, 9, np.int32), np.zeros((n, 1 + k), np.int32)
    draw_outputs(outputs, np.zeros(n, np.int64), words, np.arange(n), 0, n, corpus, KEYS)
    assert (outputs[:, 0] == 9).all()
    assert not (outputs[:, 1:] == 9).any()
    noise = outputs[:, 1:].reshape(-1)
    found = np.bincount(np.where(noise < 0, 9, noise), minlength=len(COUNTS))
    want = noise_probabilities(COUNTS) * noise.size
    np.testing.assert_allclose(noise_probabilities(COUNTS), COUNTS**0.75 / (COUNTS**0.75).sum())
    chi_square = float(((found - want) ** 2 / want).sum())
    assert chi_square < 35.0, "beyond the 0.9999 quantile for 9 degrees of freedom"


def test_the_alias_table_holds_the_exact_distribution():
    p = noise_probabilities(np.random.default_rng(0).integers(1, 10_000, 500))
    alias, odds = alias_table(p)
    held = np.bincount(alias, weights=1.0 - odds / 2.0**32, minlength=500) + odds / 2.0**32
    np.testing.assert_allclose(held / 500, p, atol=1e-9)


def test_shards_are_merged_by_the_root_of_their_number():
    """Word 0 was trained by shards 0 and 2, word 1 by all three, word 2 in place by shard 1."""
    shards, dim = 3, 16
    random = np.random.default_rng(2)
    rows = random.normal(size=(3 + 3 * 3, dim)).astype(np.float32)
    private = {(0, 0): 3, (2, 0): 9, (0, 1): 4, (1, 1): 6, (2, 1): 10}
    users = {0: [0, 2], 1: [0, 1, 2], 2: [1]}
    distinct = [[0, 1], [1, 2], [1, 0]]
    seats, rows_of = np.zeros((shards, 3), np.int32), np.zeros((shards, 2), np.int32)
    for s, words in enumerate(distinct):
        for seat, word in enumerate(words):
            seats[s, word], rows_of[s, seat] = seat + 1, private.get((s, word), word)
    want = rows.copy()
    for word in (0, 1):
        moved = sum(rows[private[s, word]] - rows[word] for s in users[word])
        want[word] += moved * len(users[word]) ** -0.5
    scales = np.append(0, np.arange(1, 4) ** -0.5).astype(np.float32)
    for s in (2, 0, 1):
        merge_rows(rows.reshape(-1), rows_of, seats, np.array(distinct[s], np.int32), s, dim, scales)
    np.testing.assert_allclose(rows, want, atol=1e-6)
