"""What skip-gram and CBOW train on, drawn ahead: the words that sub-sampling keeps, their windows, their outputs.

Dimension key: V vocabulary, K negatives, W words of a shard and round.

Every random number is a function of the position in the corpus, so where it is cut does not show.
"""

from typing import NamedTuple

import numpy as np

from rnncli.kernels._jit import kernel
from rnncli.kernels.scalar import counter_hash

N_WORDS, FIRST, LAST, N_PARTS, N_DISTINCT = range(5)  # columns of Rounds.sizes; N_DISTINCT for inputs, + 1 for outputs


class Corpus(NamedTuple):
    """What is trained on, and how words are drawn."""

    ids: np.ndarray  # (tokens,) int32
    offsets: np.ndarray  # (lines + 1,) int64
    keep: np.ndarray  # (V,) uint64: a word is kept where the high half of its draw is below
    alias: np.ndarray  # (V,) int32, with odds: the noise distribution by the alias method
    odds: np.ndarray  # (V,) uint32
    paths: np.ndarray  # (V, longest) int32: inner nodes from the root to each word, -1 after; (0, 0) for negatives
    codes: np.ndarray  # (V,) int64, bit k: whether the path goes to the first child at its node k; (0,) likewise


class Subwords(NamedTuple):
    """The parts that words are the mean of, see kernels/subwords.py."""

    rows: np.ndarray  # (parts,) int32 rows of the inputs
    starts: np.ndarray  # (V + 1,) int64


class Keys(NamedTuple):
    """Names of the random sequences of one epoch."""

    subsample: np.uint64
    window: np.uint64
    negative: np.uint64


@kernel
def _kept(corpus, keys, position):
    return (counter_hash(keys.subsample, position) >> np.uint64(32)) < corpus.keep[corpus.ids[position]]


@kernel
def _line_of(offsets, position):
    """The line that holds a token: the last one that begins at or before it."""
    low, high = 0, offsets.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if offsets[middle] <= position:
            low = middle
        else:
            high = middle
    return low


@kernel
def _reach(keys, position, window):
    """The window of the token at `position`: uniform in 1 .. window."""
    draw = counter_hash(keys.window, position) >> np.uint64(32)
    return 1 + np.int64((draw * np.uint64(window)) >> np.uint64(32))


@kernel
def draw_words(words, low, high, sizes, positions, corpus, keys, start, end, window):
    """The words that sub-sampling keeps of tokens start .. end - 1, and the window of each.

    Shapes   words, low, high (W,) int32 out, W >= end - start + 2 window; positions (W,) int64 out; sizes (16,) out.
    Context words before `start` and after `end` are taken along, so where shards are cut does not show.
    """
    ids, offsets = corpus.ids, corpus.offsets
    if start >= end:
        sizes[:] = 0
        return
    line = _line_of(offsets, start)
    n = 0
    position = start - 1
    while position >= offsets[line] and n < window:
        if _kept(corpus, keys, position):
            words[n] = ids[position]
            n += 1
        position -= 1
    for j in range(n // 2):
        words[j], words[n - 1 - j] = words[n - 1 - j], words[j]
    first = n
    line_begin, line_first = 0, n
    position = start
    while position < end:
        line_end = min(offsets[line + 1], end)
        line_first = n
        while position < line_end:
            words[n] = ids[position]
            positions[n] = position
            n += 1 if _kept(corpus, keys, position) else 0
            position += 1
        for i in range(line_first, n):
            reach = 1 + np.int64(
                (counter_hash(keys.window, positions[i]) >> np.uint64(32)) * np.uint64(window) >> np.uint64(32)
            )
            low[i] = max(i - reach, line_begin)
            high[i] = min(i + reach + 1, n)
        if position == offsets[line + 1]:
            line += 1
            line_begin = n
    last = n
    if last > first and position < offsets[line + 1] and line_begin < last:
        while position < offsets[line + 1] and n < last + window:
            if _kept(corpus, keys, position):
                words[n] = ids[position]
                n += 1
            position += 1
        for i in range(max(line_first, last - window), last):
            reach = 1 + np.int64(
                (counter_hash(keys.window, positions[i]) >> np.uint64(32)) * np.uint64(window) >> np.uint64(32)
            )
            high[i] = min(i + reach + 1, n)
    sizes[N_WORDS], sizes[FIRST], sizes[LAST] = n, first, last


@kernel
def draw_outputs(outputs_WK, labels_W, words, positions, first, last, corpus, keys):
    """The centre and its K negatives for each of the words first .. last - 1, or its path where there is a tree.

    Shapes   outputs_WK (W, 1 + K) int32 out; labels_W (W,) int64 out; words (W,) int32; positions (W,) int64.
    Source   alias method: Walker 1977, "An efficient method for generating discrete random variables".
    """
    if corpus.paths.shape[0] > 0:
        for i in range(first, last):
            labels_W[i] = corpus.codes[words[i]]
            for k in range(outputs_WK.shape[1]):
                outputs_WK[i, k] = corpus.paths[words[i], k]
        return
    n_words = np.uint64(corpus.alias.shape[0])
    n_negatives = outputs_WK.shape[1] - 1
    for i in range(first, last):
        centre = words[i]
        outputs_WK[i, 0] = centre
        labels_W[i] = 1
        for k in range(n_negatives):
            draw = counter_hash(keys.negative, positions[i] * n_negatives + k)
            at = np.int64(((draw >> np.uint64(32)) * n_words) >> np.uint64(32))
            word = np.int32(at) if (draw & np.uint64(0xFFFFFFFF)) < corpus.odds[at] else corpus.alias[at]
            outputs_WK[i, 1 + k] = word if word != centre else -1
