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
from rnncli.kernels.subwords import draw_parts, train_parts
from rnncli.kernels.word2vec import train_words
from rnncli.kernels.word2vec_draws import FIRST, LAST, N_DISTINCT, N_PARTS, N_WORDS, draw_outputs, draw_words


class Layout(NamedTuple):
    """How the corpus is cut and where rows lie: shared rows, then an idle row and private ones for each shard."""

    bounds: np.ndarray  # (S + 1,) int64: shard s has the tokens bounds[s] .. bounds[s + 1] - 1
    size: int  # tokens of a shard and round
    window: int
    dim: int  # floats of a padded row
    inputs: int  # rows of inputs that belong to all
    outputs: int
    private_inputs: int  # rows of a shard after the shared ones, the idle one included
    private_outputs: int
    cbow: bool  # the mean of the contexts predicts the centre, instead of each context by itself


class Rounds(NamedTuple):
    """Everything drawn for a round, for both parities and all shards; the axis M is 0 for inputs, 1 for outputs."""

    words: np.ndarray  # (2, S, W) int32: kept words; when training begins they become rows of the inputs
    windows: np.ndarray  # (2, S, 2, W) int32: low and high of each word, see train_words
    outputs: np.ndarray  # (2, S, W, 1 + K) int32: centre and its negatives, or its path in the tree; -1 for none
    labels: np.ndarray  # (2, S, W) int64, bit k: whether output k is to be predicted
    parts: np.ndarray  # (2, S, P) int32: the parts of the words one after the other; later rows of the inputs
    starts: np.ndarray  # (2, S, W + 1) int64: where those of each word begin; no words where words have no parts
    seats: np.ndarray  # (2, M, S, V) int32: 1 + number of a word among the distinct ones of a shard, 0 if not used
    distinct: np.ndarray  # (2, M, S, max(W * (1 + K), P)) int32: the distinct words of a shard
    rows: np.ndarray  # (2, M, S, max(W * (1 + K), P)) int32: the row in which each of them is trained
    sizes: np.ndarray  # (2, S, 16) int64, see N_WORDS ..; 16 so that shards have cache lines of their own
    positions: np.ndarray  # (S, W) int64: where the kept words stand in the corpus
    loss: np.ndarray  # (S, 16) float64: summed loss and pairs of the epoch


def new_rounds(shards: int, layout: Layout, width: int, parts: int, merging: bool) -> Rounds:
    """Empty rounds, `width` outputs for a word (1 + K with negative sampling), up to `parts` parts of a shard's words.

    Without merging the tables it needs are left out.
    """
    words = layout.size + 2 * layout.window
    uses = max(words * width, parts) if merging else 0
    return Rounds(
        np.zeros((2, shards, words), np.int32),
        np.zeros((2, shards, 2, words), np.int32),
        np.zeros((2, shards, words, width), np.int32),
        np.zeros((2, shards, words), np.int64),
        np.zeros((2, shards, parts), np.int32),
        np.zeros((2, shards, words + 1 if parts else 0), np.int64),
        np.zeros((2, 2, shards, max(layout.inputs, layout.outputs) if merging else 0), np.int32),
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
def _used(rounds, parity, shard, m, subwords):
    """The rows that a shard trains, one for each time: inputs (m = 0) or outputs."""
    sizes = rounds.sizes[parity, shard]
    if m == 1:
        return rounds.outputs[parity, shard, sizes[FIRST] : sizes[LAST]].reshape(-1)
    if subwords is not None:
        return rounds.parts[parity, shard, : sizes[N_PARTS]]
    return rounds.words[parity, shard, : sizes[N_WORDS]]


@kernel
def draw_shard(rounds, parity, shard, corpus, subwords, keys, layout, number, merging):
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
    if subwords is not None:
        parts, starts = rounds.parts[parity, shard], rounds.starts[parity, shard]
        sizes[N_PARTS] = draw_parts(parts, starts, words[: sizes[N_WORDS]], subwords.rows, subwords.starts)
    if merging:
        for m in range(2):
            seats, distinct = rounds.seats[parity, m, shard], rounds.distinct[parity, m, shard]
            used = _used(rounds, parity, shard, m, subwords)
            sizes[N_DISTINCT + m] = _take_seats(seats, distinct, used)


@kernel
def train_shard(matrices, rounds, parity, shard, layout, subwords, rate, merging):
    """Train what is drawn; with `merging` on private copies of the rows that other shards use too.

    Shapes   matrices: inputs and outputs, float32 with one axis, rows of D floats, see Layout.
    """
    words, windows, outputs_WK = (
        rounds.words[parity, shard],
        rounds.windows[parity, shard],
        rounds.outputs[parity, shard],
    )
    sizes, labels_W = rounds.sizes[parity, shard], rounds.labels[parity, shard]
    words, first, last = words[: sizes[N_WORDS]], sizes[FIRST], sizes[LAST]
    idle_x = layout.inputs + shard * layout.private_inputs
    idle_y = layout.outputs + shard * layout.private_outputs
    if merging:
        for m in range(2):
            used = _used(rounds, parity, shard, m, subwords)
            distinct = rounds.distinct[parity, m, shard, : sizes[N_DISTINCT + m]]
            rows, seats_SV = rounds.rows[parity, m, shard], rounds.seats[parity, m]
            private = 1 + (idle_x if m == 0 else idle_y)
            _place(matrices[m], rows, seats_SV, distinct, used, private, layout.dim, shard)
    x, y, low, high = matrices[0], matrices[1], windows[0], windows[1]
    if subwords is not None:
        parts, starts = rounds.parts[parity, shard], rounds.starts[parity, shard]
        loss, pairs = train_parts(
            x, y, parts, starts, words.shape[0], low, high, outputs_WK, labels_W, first, last, idle_y, layout.window,
            rate, layout.dim, layout.cbow,
        )  # fmt: skip
    elif layout.cbow:
        loss, pairs = train_cbow(
            x, y, words, low, high, outputs_WK, labels_W, first, last, idle_x, idle_y, layout.window, rate, layout.dim
        )  # fmt: skip
    else:
        loss, pairs = train_words(
            x, y, words, low, high, outputs_WK, labels_W, first, last, idle_x, idle_y, layout.window, rate, layout.dim
        )  # fmt: skip
    rounds.loss[shard, 0] += loss
    rounds.loss[shard, 1] += pairs
    if merging:  # the round before is merged: nobody reads its seats any more
        for m in range(2):
            seats, distinct = rounds.seats[1 - parity, m, shard], rounds.distinct[1 - parity, m, shard]
            for j in range(rounds.sizes[1 - parity, shard, N_DISTINCT + m]):
                seats[distinct[j]] = 0


@kernel
def _step(matrices, rounds, shard, corpus, subwords, keys, layout, scales, step, rate, merging):
    """What one shard does between two barriers: odd steps train round step // 2, even ones merge and draw the next."""
    number = step // 2
    parity = number % 2
    if step % 2 == 1:
        train_shard(matrices, rounds, parity, shard, layout, subwords, rate, merging)
    else:
        if merging and number > 0:
            for m in range(2):
                distinct = rounds.distinct[1 - parity, m, shard, : rounds.sizes[1 - parity, shard, N_DISTINCT + m]]
                rows_S, seats_SV = rounds.rows[1 - parity, m], rounds.seats[1 - parity, m]
                merge_rows(matrices[m], rows_S, seats_SV, distinct, shard, layout.dim, scales)
        draw_shard(rounds, parity, shard, corpus, subwords, keys, layout, number, merging)


@parallel_kernel
def run_rounds(matrices, rounds, corpus, subwords, keys, layout, scales, first, last, rates, merging):
    """Train rounds first .. last - 1 of an epoch; call with the whole epoch, or piece by piece.

    Without `merging` all shards write the shared rows at any time, and the result depends on the threads
    (Niu et al. 2011, "Hogwild!").

    Shapes   matrices: inputs and outputs, float32 with one axis, see Layout; subwords None or Subwords; scales (S + 1,)
             float32: n^-0.5; rates (last - first,) float32: learning rate of each round.
    """
    begin = 2 * first + (1 if first > 0 else 0)
    for step in range(begin, 2 * last + 1):
        rate = rates[max(step // 2 - first, 0)] if step % 2 == 1 else np.float32(0.0)
        for s in prange(layout.bounds.shape[0] - 1):
            _step(matrices, rounds, np.int64(s), corpus, subwords, keys, layout, scales, step, rate, merging)
