"""Skip-gram with negative sampling: the gradient step of one centre word.

Dimension key: D floats of a padded row (a multiple of 16), K negatives, W words of a shard.

For a centre word o and its contexts c with the same negatives n_1 .. n_K for all of them,
    loss = -sum_c [ log sigmoid(x_c . y_o) + sum_k log sigmoid(-x_c . y_{n_k}) ],
    dloss/dx_c = -sum_k e_ck y_k,   dloss/dy_k = -sum_c e_ck x_c,   e_ck = [k = o] - sigmoid(x_c . y_k).
Source: Mikolov et al. 2013, "Distributed Representations of Words and Phrases", eq. (4); negatives shared by the
block after Ji et al. 2016, "Parallelizing Word2Vec in Shared and Distributed Memory" (pWord2Vec).

Six outputs are held in registers while the contexts stream past in pairs. Rows are padded to whole cache lines.
"""

from typing import NamedTuple

import numpy as np

from rnncli.kernels._jit import kernel
from rnncli.kernels.lanes import (
    WIDTH,
    add,
    fma,
    load,
    log,
    mul,
    prefetch,
    sigmoid,
    splat,
    store,
    sub,
    sums_of_twelve,
    survival,
)

OUTPUTS = 6  # outputs of a block; 1 + K is cut into blocks of so many, the last one filled up with idle rows
PAIRS_PER_LOG = 4  # likelihoods (at least 1e-8 each) multiplied before a logarithm is taken
ZERO, ONE = np.float32(0.0), np.float32(1.0)


class Scratch(NamedTuple):
    """Work space for one block."""

    contexts: np.ndarray  # (2 window + 2,) int64, offsets of the contexts' rows in x
    outputs: np.ndarray  # (6,) int64, offsets of the outputs' rows in y
    steps: np.ndarray  # ((window + 1) * 16,) float32, e_ck lr of every pair of contexts
    masks: np.ndarray  # (48,) float32: labels, lanes in use of a full pair, lanes in use of the last pair


@kernel
def new_scratch(window):
    """Work space for windows of up to `window` words on each side; shapes as in Scratch."""
    scratch = Scratch(
        np.empty(2 * window + 2, np.int64),
        np.empty(OUTPUTS, np.int64),
        np.empty((window + 1) * WIDTH, np.float32),
        np.empty(3 * WIDTH, np.float32),
    )
    for i in range(3 * WIDTH):
        scratch.masks[i] = ZERO  # lanes 12 .. 15 stay so
    return scratch


@kernel
def block_step(x, y, scratch, n_pairs, lr, dim):
    """One gradient step of 2 n_pairs contexts against six outputs; returns the summed log-likelihood of the lanes.

    Shapes   x, y float32 with one axis: rows of `dim` floats at the offsets in scratch.contexts and scratch.outputs;
             scratch.masks filled by `_set_masks`.
    Writes   the rows of x and y, scratch.steps.
    Order    all e_ck first, from the rows as they were; then pair after pair, x_c += lr sum_k e_ck y_k with y as it
             was; the sum for y uses x_c as it was before its pair; then y_k += its sum, one output after the other.
             So a word that occurs twice gets both its steps.
    Exact    steps to float32; the likelihood is 1 - |e|, so the loss of one outcome ends at 18.4 nats.
    """
    c, steps = scratch.contexts, scratch.steps
    k0, k1, k2 = scratch.outputs[0], scratch.outputs[1], scratch.outputs[2]
    k3, k4, k5 = scratch.outputs[3], scratch.outputs[4], scratch.outputs[5]
    rate = splat(lr)
    labels = load(scratch.masks, 0)
    loglik = splat(ZERO)
    likelihood = splat(ONE)
    for p in range(n_pairs):
        c0, c1 = c[2 * p], c[2 * p + 1]
        a00 = a01 = a02 = a03 = a04 = a05 = a10 = a11 = a12 = a13 = a14 = a15 = splat(ZERO)
        for j in range(0, dim, WIDTH):
            x0, x1 = load(x, c0 + j), load(x, c1 + j)
            y0, y1, y2 = load(y, k0 + j), load(y, k1 + j), load(y, k2 + j)
            a00, a01, a02 = fma(x0, y0, a00), fma(x0, y1, a01), fma(x0, y2, a02)
            a10, a11, a12 = fma(x1, y0, a10), fma(x1, y1, a11), fma(x1, y2, a12)
            y3, y4, y5 = load(y, k3 + j), load(y, k4 + j), load(y, k5 + j)
            a03, a04, a05 = fma(x0, y3, a03), fma(x0, y4, a04), fma(x0, y5, a05)
            a13, a14, a15 = fma(x1, y3, a13), fma(x1, y4, a14), fma(x1, y5, a15)
        z = sums_of_twelve(a00, a01, a02, a03, a04, a05, a10, a11, a12, a13, a14, a15)
        used = load(scratch.masks, WIDTH if p + 1 < n_pairs else 2 * WIDTH)
        e = mul(sub(labels, sigmoid(z)), used)
        store(steps, p * WIDTH, mul(e, rate))
        likelihood = mul(likelihood, survival(e))
        if p % PAIRS_PER_LOG == PAIRS_PER_LOG - 1:
            loglik = add(loglik, log(likelihood))
            likelihood = splat(ONE)
    loglik = add(loglik, log(likelihood))
    for j in range(0, dim, WIDTH):
        y0, y1, y2 = load(y, k0 + j), load(y, k1 + j), load(y, k2 + j)
        y3, y4, y5 = load(y, k3 + j), load(y, k4 + j), load(y, k5 + j)
        dy0 = dy1 = dy2 = dy3 = dy4 = dy5 = splat(ZERO)
        for p in range(n_pairs):
            c0, c1, e = c[2 * p], c[2 * p + 1], p * WIDTH
            x0, x1 = load(x, c0 + j), load(x, c1 + j)
            e0, e1 = splat(steps[e]), splat(steps[e + 6])
            dx0, dx1 = mul(e0, y0), mul(e1, y0)
            dy0 = fma(e0, x0, fma(e1, x1, dy0))
            e0, e1 = splat(steps[e + 1]), splat(steps[e + 7])
            dx0, dx1 = fma(e0, y1, dx0), fma(e1, y1, dx1)
            dy1 = fma(e0, x0, fma(e1, x1, dy1))
            e0, e1 = splat(steps[e + 2]), splat(steps[e + 8])
            dx0, dx1 = fma(e0, y2, dx0), fma(e1, y2, dx1)
            dy2 = fma(e0, x0, fma(e1, x1, dy2))
            e0, e1 = splat(steps[e + 3]), splat(steps[e + 9])
            dx0, dx1 = fma(e0, y3, dx0), fma(e1, y3, dx1)
            dy3 = fma(e0, x0, fma(e1, x1, dy3))
            e0, e1 = splat(steps[e + 4]), splat(steps[e + 10])
            dx0, dx1 = fma(e0, y4, dx0), fma(e1, y4, dx1)
            dy4 = fma(e0, x0, fma(e1, x1, dy4))
            e0, e1 = splat(steps[e + 5]), splat(steps[e + 11])
            dx0, dx1 = fma(e0, y5, dx0), fma(e1, y5, dx1)
            dy5 = fma(e0, x0, fma(e1, x1, dy5))
            store(x, c0 + j, add(x0, dx0))
            store(x, c1 + j, add(load(x, c1 + j), dx1))  # read again: both may be the same word
        store(y, k0 + j, add(y0, dy0))
        store(y, k1 + j, add(load(y, k1 + j), dy1))
        store(y, k2 + j, add(load(y, k2 + j), dy2))
        store(y, k3 + j, add(load(y, k3 + j), dy3))
        store(y, k4 + j, add(load(y, k4 + j), dy4))
        store(y, k5 + j, add(load(y, k5 + j), dy5))
    return loglik


@kernel
def _set_masks(masks, outputs, labels, odd):
    """Labels and lanes in use of a block: lane 6 c + k is context c of a pair against output k.

    Shapes   masks (48,) float32 out; outputs (6,) int64, negative where idle; labels: bit k is that of output k.
    """
    for k in range(OUTPUTS):
        label = ONE if (labels >> k) & 1 else ZERO
        used = ONE if outputs[k] >= 0 else ZERO
        masks[k] = masks[OUTPUTS + k] = label
        masks[WIDTH + k] = masks[WIDTH + OUTPUTS + k] = masks[2 * WIDTH + k] = used
        masks[2 * WIDTH + OUTPUTS + k] = ZERO if odd else used


@kernel
def train_words(x, y, words, low, high, outputs_WK, labels_W, first, last, idle_x, idle_y, window, lr, dim):
    """Train the centres words[first : last] in order; returns (loss in nats, pairs of centre and context).

    Shapes   x, y float32 with one axis, rows of `dim` floats; words (W,) int32 rows of x; low, high (W,) int32: the
             contexts of centre i are words[low[i] : high[i]] without i; outputs_WK (W, 1 + K) int32 rows of y that
             its contexts meet, -1 for none; labels_W (W,) int64, bit k: whether output k is to be predicted or
             rejected; idle_x, idle_y a row of each that is zero.
    Writes   x and y.
    """
    scratch = new_scratch(window)
    contexts, outputs = scratch.contexts, scratch.outputs
    n_outputs = outputs_WK.shape[1]
    blocks = (n_outputs + OUTPUTS - 1) // OUTPUTS
    loglik = splat(ZERO)
    pairs = 0
    for i in range(first, last):
        n = 0
        for j in range(low[i], high[i]):
            if j != i:
                contexts[n] = np.int64(words[j]) * dim
                n += 1
        # The rows of the next centre, and a context that enters soon, travel while this one is computed.
        if i + 1 < last:
            for k in range(n_outputs):
                row = np.int64(max(outputs_WK[i + 1, k], 0)) * dim
                for j in range(0, dim, WIDTH):
                    prefetch(y, row + j)
            row = np.int64(words[min(i + window + 2, words.shape[0] - 1)]) * dim
            for j in range(0, dim, WIDTH):
                prefetch(x, row + j)
        if n == 0:
            continue
        pairs += n
        odd = n % 2 == 1
        if odd:
            contexts[n] = idle_x * dim
            n += 1
        for block in range(blocks):
            used = 0
            for k in range(OUTPUTS):
                at = block * OUTPUTS + k
                row = outputs_WK[i, at] if at < n_outputs else -1
                outputs[k] = np.int64(row) * dim if row >= 0 else -1
                used += 1 if row >= 0 else 0
            if used == 0:
                continue
            _set_masks(scratch.masks, outputs, labels_W[i] >> (block * OUTPUTS), odd)
            for k in range(OUTPUTS):
                if outputs[k] < 0:
                    outputs[k] = idle_y * dim
            loglik = add(loglik, block_step(x, y, scratch, n // 2, lr, dim))
    store(scratch.masks, 0, loglik)
    loss = 0.0
    for k in range(WIDTH):
        loss -= np.float64(scratch.masks[k])
    return loss, pairs
