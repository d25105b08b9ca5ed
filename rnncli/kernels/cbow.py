"""Continuous bag of words with negative sampling: the mean of the contexts predicts the centre word.

Dimension key: D floats of a padded row (a multiple of 16), K negatives, W words of a shard.

For a centre word o with contexts c_1 .. c_n and negatives n_1 .. n_K, h = (1/n) sum_i x_{c_i},
    loss = -log sigmoid(h . y_o) - sum_k log sigmoid(-h . y_{n_k}),   e_k = [k = o] - sigmoid(h . y_k),
    dloss/dh = -sum_k e_k y_k,   dloss/dy_k = -e_k h,   and each x_{c_i} takes the whole step of h.
Source: Mikolov et al. 2013, "Efficient estimation of word representations in vector space", section 3.1, with the negative
sampling of their "Distributed representations", eq. (4). The gradient of a context would be (1/n) dloss/dh; word2vec.c,
fastText and gensim leave the 1/n out, and so does this: with it, contexts learn too slowly (WordSim-353 .33 against .41).
"""

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
from rnncli.kernels.word2vec import ONE, OUTPUTS, PAIRS_PER_LOG, ZERO


@kernel
def _block_step(y, hidden, step, outputs, masks, lr, dim):
    """Train six outputs on h; returns the likelihood of the lanes (1 where idle).

    Shapes   y float32, rows of `dim` at the offsets outputs (6,) int64; hidden (dim,) float32 h; step (dim,) float32
             out, accumulated: lr sum_k e_k y_k with y as it was; masks (48,) float32: labels, lanes in use, room for e.
    """
    k0, k1, k2, k3, k4, k5 = outputs[0], outputs[1], outputs[2], outputs[3], outputs[4], outputs[5]
    zero = splat(ZERO)
    a0 = a1 = a2 = a3 = a4 = a5 = zero
    for j in range(0, dim, WIDTH):
        h = load(hidden, j)
        a0, a1, a2 = fma(h, load(y, k0 + j), a0), fma(h, load(y, k1 + j), a1), fma(h, load(y, k2 + j), a2)
        a3, a4, a5 = fma(h, load(y, k3 + j), a3), fma(h, load(y, k4 + j), a4), fma(h, load(y, k5 + j), a5)
    z = sums_of_twelve(a0, a1, a2, a3, a4, a5, zero, zero, zero, zero, zero, zero)
    e = mul(sub(load(masks, 0), sigmoid(z)), load(masks, WIDTH))
    store(masks, 2 * WIDTH, mul(e, splat(lr)))
    e0, e1, e2 = splat(masks[2 * WIDTH]), splat(masks[2 * WIDTH + 1]), splat(masks[2 * WIDTH + 2])
    e3, e4, e5 = splat(masks[2 * WIDTH + 3]), splat(masks[2 * WIDTH + 4]), splat(masks[2 * WIDTH + 5])
    for j in range(0, dim, WIDTH):
        h = load(hidden, j)
        y0, y1, y2 = load(y, k0 + j), load(y, k1 + j), load(y, k2 + j)
        y3, y4, y5 = load(y, k3 + j), load(y, k4 + j), load(y, k5 + j)
        d = fma(e0, y0, fma(e1, y1, fma(e2, y2, load(step, j))))
        store(step, j, fma(e3, y3, fma(e4, y4, fma(e5, y5, d))))
        store(y, k0 + j, fma(e0, h, y0))
        store(y, k1 + j, fma(e1, h, load(y, k1 + j)))  # read again: a negative may be drawn twice
        store(y, k2 + j, fma(e2, h, load(y, k2 + j)))
        store(y, k3 + j, fma(e3, h, load(y, k3 + j)))
        store(y, k4 + j, fma(e4, h, load(y, k4 + j)))
        store(y, k5 + j, fma(e5, h, load(y, k5 + j)))
    return survival(e)


@kernel
def _name_outputs(outputs, masks, outputs_WK, labels, i, block, idle, dim):
    """Rows, labels and lanes in use of one block of the outputs of centre i; returns how many are in use."""
    used = 0
    for k in range(OUTPUTS):
        at = block * OUTPUTS + k
        row = outputs_WK[i, at] if at < outputs_WK.shape[1] else np.int32(-1)
        outputs[k] = (np.int64(row) if row >= 0 else idle) * dim
        masks[k] = ONE if (labels >> at) & 1 else ZERO
        masks[WIDTH + k] = ONE if row >= 0 else ZERO
        used += 1 if row >= 0 else 0
    return used


@kernel
def train_cbow(x, y, words, low, high, outputs_WK, labels_W, first, last, idle_x, idle_y, window, lr, dim):
    """Train the centres words[first : last] in order; returns (loss in nats, centres that had a context).

    Shapes   as kernels.word2vec.train_words; the loss counts one prediction for each centre.
    Writes   x and y.
    """
    hidden, step = np.empty(dim, np.float32), np.empty(dim, np.float32)
    outputs, masks = np.empty(OUTPUTS, np.int64), np.zeros(3 * WIDTH, np.float32)
    blocks = (outputs_WK.shape[1] + OUTPUTS - 1) // OUTPUTS
    loglik, likelihood = splat(ZERO), splat(ONE)
    centres, pending = 0, 0
    for i in range(first, last):
        if i + 1 < last:  # the next centre's rows travel while this one is computed
            for k in range(outputs_WK.shape[1]):
                row = np.int64(max(outputs_WK[i + 1, k], 0)) * dim
                for j in range(0, dim, WIDTH):
                    prefetch(y, row + j)
            row = np.int64(words[min(i + window + 2, words.shape[0] - 1)]) * dim
            for j in range(0, dim, WIDTH):
                prefetch(x, row + j)
        n = high[i] - low[i] - 1
        if n <= 0:
            continue
        centres += 1
        share = splat(ONE / np.float32(n))
        for j in range(0, dim, WIDTH):
            total = splat(ZERO)
            for w in range(low[i], high[i]):
                if w != i:
                    total = add(total, load(x, np.int64(words[w]) * dim + j))
            store(hidden, j, mul(total, share))
            store(step, j, splat(ZERO))
        for block in range(blocks):
            if _name_outputs(outputs, masks, outputs_WK, labels_W[i], i, block, idle_y, dim) == 0:
                continue
            likelihood = mul(likelihood, _block_step(y, hidden, step, outputs, masks, lr, dim))
            pending += 1
            if pending == PAIRS_PER_LOG:
                loglik, likelihood = add(loglik, log(likelihood)), splat(ONE)
                pending = 0
        for w in range(low[i], high[i]):
            if w != i:
                row = np.int64(words[w]) * dim
                for j in range(0, dim, WIDTH):
                    store(x, row + j, add(load(step, j), load(x, row + j)))
    store(masks, 0, add(loglik, log(likelihood)))
    loss = 0.0
    for k in range(WIDTH):
        loss -= np.float64(masks[k])
    return loss, centres
