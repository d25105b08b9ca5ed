"""Rounds of skip-gram training: what a shard trains is drawn ahead, and shards that meet at a row are merged.

Dimension key: S shards, V vocabulary, D floats of a padded row, K negatives, W words of a shard and round, 2 the
parity of the round (while one round is trained the next is drawn).

A round has two parallel steps. Train: every shard takes private copies of the rows that another shard uses too and
trains; a row that no other shard uses is trained where it lies. Merge: a row used by n > 1 shards moves by
n^-0.5 times the sum of their steps, in shard order, one owner for each row; and the next round is drawn. The shards
are fixed, every random number is a function of the position in the corpus, so threads do not change the result.
"""

from typing import NamedTuple

import numpy as np

from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.cbow import train_cbow
from rnncli.kernels.lanes import WIDTH, add, fma, load, splat, store, sub
from rnncli.kernels.scalar import counter_hash
from rnncli.kernels.word2vec import train_words

N_WORDS, FIRST, LAST, N_DISTINCT = range(4)  # columns of Rounds.sizes; N_DISTINCT for inputs, + 1 for outputs


class Corpus(NamedTuple):
    """What is trained on, and how words are drawn."""

    ids: np.ndarray  # (tokens,) int32
    offsets: np.ndarray  # (lines + 1,) int64
    keep: np.ndarray  # (V,) uint64: a word is kept where the high half of its draw is below
    alias: np.ndarray  # (V,) int32, with odds: the noise distribution by the alias method
    odds: np.ndarray  # (V,) uint32
    paths: np.ndarray  # (V, longest) int32: inner nodes from the root to each word, -1 after; (0, 0) for negatives
    codes: np.ndarray  # (V,) int64, bit k: whether the path goes to the first child at its node k; (0,) likewise


class Keys(NamedTuple):
    """Names of the random sequences of one epoch."""

    subsample: np.uint64
    window: np.uint64
    negative: np.uint64


class Layout(NamedTuple):
    """How the corpus is cut and where rows lie: V shared rows, then an idle row and private ones for each shard."""

    bounds: np.ndarray  # (S + 1,) int64: shard s has the tokens bounds[s] .. bounds[s + 1] - 1
    size: int  # tokens of a shard and round
    window: int
    dim: int  # floats of a padded row
    vocabulary: int
    private: int  # rows of a shard after the shared ones, the idle one included
    cbow: bool  # the mean of the contexts predicts the centre, instead of each context by itself


class Rounds(NamedTuple):
    """Everything drawn for a round, for both parities and all shards; the axis M is 0 for inputs, 1 for outputs."""

    words: np.ndarray  # (2, S, W) int32: kept words; when training begins they become rows of the inputs
    windows: np.ndarray  # (2, S, 2, W) int32: low and high of each word, see train_words
    outputs: np.ndarray  # (2, S, W, 1 + K) int32: centre and its negatives, or its path in the tree; -1 for none
    labels: np.ndarray  # (2, S, W) int64, bit k: whether output k is to be predicted
    seats: np.ndarray  # (2, M, S, V) int32: 1 + number of a word among the distinct ones of a shard, 0 if not used
    distinct: np.ndarray  # (2, M, S, W * (1 + K)) int32: the distinct words of a shard
    rows: np.ndarray  # (2, M, S, W * (1 + K)) int32: the row in which each of them is trained
    sizes: np.ndarray  # (2, S, 16) int64, see N_WORDS ..; 16 so that shards have cache lines of their own
    positions: np.ndarray  # (S, W) int64: where the kept words stand in the corpus
    loss: np.ndarray  # (S, 16) float64: summed loss and pairs of the epoch


def new_rounds(shards: int, size: int, window: int, width: int, vocabulary: int, merging: bool) -> Rounds:
    """Empty rounds of up to `size` tokens for each shard, `width` outputs for a word (1 + K with negative sampling).

    Without merging the tables it needs are left out.
    """
    words = size + 2 * window
    uses = words * width if merging else 0
    return Rounds(
        np.zeros((2, shards, words), np.int32),
        np.zeros((2, shards, 2, words), np.int32),
        np.zeros((2, shards, words, width), np.int32),
        np.zeros((2, shards, words), np.int64),
        np.zeros((2, 2, shards, vocabulary if merging else 0), np.int32),
        np.zeros((2, 2, shards, uses), np.int32),
        np.zeros((2, 2, shards, uses), np.int32),
        np.zeros((2, shards, 16), np.int64),
        np.zeros((shards, words), np.int64),
        np.zeros((shards, 16)),
    )


def start_epoch(rounds: Rounds) -> None:
    """Forget what was drawn, and the loss."""
    for array in (rounds.sizes, rounds.seats, rounds.loss):
        array[:] = 0


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


@kernel
def _take_seats(seats, distinct, used):
    """Number the distinct words of `used` and write their numbers in their place; returns how many.

    Shapes   seats (V,) int32, zero; distinct int32 out; used int32, one axis, negative where there is no word.
    """
    n = 0
    for j in range(used.shape[0]):
        word = used[j]
        if word >= 0:
            seat = seats[word]
            if seat == 0:
                distinct[n] = word
                n += 1
                seat = n
                seats[word] = n
            used[j] = seat - 1
    return n


@kernel
def _place(matrix, rows, seats_SV, distinct, used, private, dim, shard):
    """Find the row of each distinct word, copying those that other shards use, and name them in `used`.

    Shapes   matrix float32, one axis, rows of `dim`; rows int32 out; seats_SV (S, V) int32; distinct (n,) int32; used
             int32, seats in, rows out; `private` is the first private row of the shard.
    """
    for seat in range(distinct.shape[0]):
        word = distinct[seat]
        shared = False
        for other in range(seats_SV.shape[0]):
            shared |= other != shard and seats_SV[other, word] != 0
        row = np.int64(word)
        if shared:
            for j in range(0, dim, WIDTH):
                store(matrix, private * dim + j, load(matrix, row * dim + j))
            row = private
            private += 1
        rows[seat] = row
    for j in range(used.shape[0]):
        if used[j] >= 0:
            used[j] = rows[used[j]]


@kernel
def merge_rows(matrix, rows_S, seats_SV, distinct, shard, dim, scales):
    """Move the shared rows owned by `shard`: row += n_users^-0.5 sum_s (private row of s - row).

    Shapes   matrix float32, one axis; rows_S (S, .), seats_SV (S, V), distinct (n,) int32; scales (S + 1,) float32.
    The owner of a word is one of its users, chosen by the word so that the work is spread.
    """
    for seat in range(distinct.shape[0]):
        word = distinct[seat]
        if rows_S[shard, seat] == word:
            continue
        users, rank = 0, 0
        for other in range(seats_SV.shape[0]):
            if seats_SV[other, word] != 0:
                rank += other < shard
                users += 1
        if word % users != rank:
            continue
        scale = splat(scales[users])
        base = np.int64(word) * dim
        for j in range(0, dim, WIDTH):
            old = load(matrix, base + j)
            moved = splat(np.float32(0.0))
            for other in range(seats_SV.shape[0]):
                taken = seats_SV[other, word]
                if taken != 0:
                    moved = add(moved, sub(load(matrix, np.int64(rows_S[other, taken - 1]) * dim + j), old))
            store(matrix, base + j, fma(moved, scale, old))


@kernel
def draw_shard(rounds, parity, shard, corpus, keys, layout, number, merging):
    """Draw round `number` of a shard; empty past the end of its tokens. With `merging` its rows take their seats."""
    words, windows, outputs_WK = (
        rounds.words[parity, shard],
        rounds.windows[parity, shard],
        rounds.outputs[parity, shard],
    )
    positions, sizes = rounds.positions[shard], rounds.sizes[parity, shard]
    stop = layout.bounds[shard + 1]
    start = min(layout.bounds[shard] + number * layout.size, stop)
    end = min(start + layout.size, stop)
    draw_words(words, windows[0], windows[1], sizes, positions, corpus, keys, start, end, layout.window)
    first, last = sizes[FIRST], sizes[LAST]
    draw_outputs(outputs_WK, rounds.labels[parity, shard], words, positions, first, last, corpus, keys)
    if merging:
        for m in range(2):
            seats, distinct = rounds.seats[parity, m, shard], rounds.distinct[parity, m, shard]
            used = words[: sizes[N_WORDS]] if m == 0 else outputs_WK[first:last].reshape(-1)
            sizes[N_DISTINCT + m] = _take_seats(seats, distinct, used)


@kernel
def train_shard(matrices, rounds, parity, shard, layout, rate, merging):
    """Train what is drawn; with `merging` on private copies of the rows that other shards use too.

    Shapes   matrices (2, rows * D) float32, see Layout.
    """
    words, windows, outputs_WK = (
        rounds.words[parity, shard],
        rounds.windows[parity, shard],
        rounds.outputs[parity, shard],
    )
    sizes = rounds.sizes[parity, shard]
    words, first, last = words[: sizes[N_WORDS]], sizes[FIRST], sizes[LAST]
    idle = layout.vocabulary + shard * layout.private
    if merging:
        for m in range(2):
            used = words if m == 0 else outputs_WK[first:last].reshape(-1)
            distinct = rounds.distinct[parity, m, shard, : sizes[N_DISTINCT + m]]
            rows, seats_SV = rounds.rows[parity, m, shard], rounds.seats[parity, m]
            _place(matrices[m], rows, seats_SV, distinct, used, idle + 1, layout.dim, shard)
    x, y, low, high = matrices[0], matrices[1], windows[0], windows[1]
    labels_W = rounds.labels[parity, shard]
    if layout.cbow:
        loss, pairs = train_cbow(
            x, y, words, low, high, outputs_WK, labels_W, first, last, idle, layout.window, rate, layout.dim
        )  # fmt: skip
    else:
        loss, pairs = train_words(
            x, y, words, low, high, outputs_WK, labels_W, first, last, idle, layout.window, rate, layout.dim
        )  # fmt: skip
    rounds.loss[shard, 0] += loss
    rounds.loss[shard, 1] += pairs
    if merging:  # the round before is merged: nobody reads its seats any more
        for m in range(2):
            seats, distinct = rounds.seats[1 - parity, m, shard], rounds.distinct[1 - parity, m, shard]
            for j in range(rounds.sizes[1 - parity, shard, N_DISTINCT + m]):
                seats[distinct[j]] = 0


@kernel
def _step(matrices, rounds, shard, corpus, keys, layout, scales, step, rate, merging):
    """What one shard does between two barriers: odd steps train round step // 2, even ones merge and draw the next."""
    number = step // 2
    parity = number % 2
    if step % 2 == 1:
        train_shard(matrices, rounds, parity, shard, layout, rate, merging)
    else:
        if merging and number > 0:
            for m in range(2):
                distinct = rounds.distinct[1 - parity, m, shard, : rounds.sizes[1 - parity, shard, N_DISTINCT + m]]
                rows_S, seats_SV = rounds.rows[1 - parity, m], rounds.seats[1 - parity, m]
                merge_rows(matrices[m], rows_S, seats_SV, distinct, shard, layout.dim, scales)
        draw_shard(rounds, parity, shard, corpus, keys, layout, number, merging)


@parallel_kernel
def run_rounds(matrices, rounds, corpus, keys, layout, scales, first, last, rates, merging):
    """Train rounds first .. last - 1 of an epoch; call with the whole epoch, or piece by piece.

    Without `merging` all shards write the shared rows at any time, and the result depends on the threads
    (Niu et al. 2011, "Hogwild!").

    Shapes   matrices (2, rows * D) float32: inputs and outputs, see Layout; scales (S + 1,) float32: n^-0.5; rates
             (last - first,) float32: learning rate of each round.
    """
    begin = 2 * first + (1 if first > 0 else 0)
    for step in range(begin, 2 * last + 1):
        rate = rates[max(step // 2 - first, 0)] if step % 2 == 1 else np.float32(0.0)
        for s in prange(layout.bounds.shape[0] - 1):
            _step(matrices, rounds, np.int64(s), corpus, keys, layout, scales, step, rate, merging)
