"""Skip-gram and CBOW with the exact softmax, a batch of predictions at a time, the vocabulary cut into shards.

    loss = log sum_w exp(y_w . h) - y_o . h,   dloss/dy_w = e_w h,   dloss/dh = sum_w e_w y_w,
    e_w = softmax(Y h)_w - [w = o]
h is the vector of the centre and o one of its contexts (skip-gram), or h the mean of the contexts' vectors and o the centre.
Source: Mikolov et al. 2013, "Distributed Representations of Words and Phrases", eq. (2). With CBOW each context takes the
whole step of h, as in kernels/cbow.py.

Dimension key: V vocabulary, E floats of a row, B predictions of a batch, S shards, W words of a round.

A shard owns its rows of Y: it scores them, and when all shards have, it moves them. The predictions of a batch see Y and
X as they were before it.
"""

import math

import numpy as np

from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.matmul import add_product, add_product_of_transpose
from rnncli.kernels.scalar import exp


@kernel
def _score(y_NE, h_EB, scores_NB, highest_B, sums_B):
    """Scores of one shard's words, and of each prediction the highest one and sum exp(score - highest)."""
    for v in range(scores_NB.shape[0]):
        for b in range(scores_NB.shape[1]):
            scores_NB[v, b] = 0.0
    add_product(scores_NB, y_NE, h_EB)
    for b in range(scores_NB.shape[1]):
        highest_B[b], sums_B[b] = scores_NB[0, b], 0.0
    for v in range(1, scores_NB.shape[0]):
        for b in range(scores_NB.shape[1]):
            highest_B[b] = max(highest_B[b], scores_NB[v, b])
    for v in range(scores_NB.shape[0]):
        for b in range(scores_NB.shape[1]):
            sums_B[b] += exp(scores_NB[v, b] - highest_B[b])


@kernel
def _move(y_NE, h_BE, scores_NB, log_sums_B, targets_B, first, rate, dh_BE):
    """Turn scores into -rate e, give the shard's part of -rate dloss/dh and move its rows of Y."""
    for v in range(scores_NB.shape[0]):
        for b in range(scores_NB.shape[1]):
            scores_NB[v, b] = -rate * exp(scores_NB[v, b] - log_sums_B[b])
    for b in range(targets_B.shape[0]):
        target = targets_B[b] - first
        if targets_B[b] < 0:  # no prediction
            for v in range(scores_NB.shape[0]):
                scores_NB[v, b] = 0.0
        elif 0 <= target < scores_NB.shape[0]:
            scores_NB[target, b] += rate
    for b in range(dh_BE.shape[0]):
        for e in range(dh_BE.shape[1]):
            dh_BE[b, e] = 0.0
    add_product_of_transpose(dh_BE, scores_NB, y_NE)
    add_product(y_NE, scores_NB, h_BE)


@kernel
def _gather(x_VE, words, low, high, i, cbow, h_EB, h_BE, b):
    """h of one prediction, in both layouts."""
    for e in range(x_VE.shape[1]):
        value = x_VE[words[i], e]
        if cbow:
            value -= value
            for c in range(low[i], high[i]):
                if c != i:
                    value += x_VE[words[c], e]
            value /= h_BE.dtype.type(high[i] - low[i] - 1)
        h_BE[b, e] = h_EB[e, b] = value


@kernel
def _scatter(x_VE, words, low, high, i, cbow, dh_SBE, b):
    """Move the inputs of one prediction; the parts of its step are summed in the order of the shards."""
    for e in range(x_VE.shape[1]):
        step = dh_SBE[0, b, e]
        for s in range(1, dh_SBE.shape[0]):
            step += dh_SBE[s, b, e]
        if not cbow:
            x_VE[words[i], e] += step
        else:
            for c in range(low[i], high[i]):
                if c != i:
                    x_VE[words[c], e] += step


@kernel
def next_batch(words, low, high, i, j, last, cbow, centres_B, targets_B):
    """List predictions from context j of centre i on; returns (how many, and the i and j that come after them).

    Shapes   words (W,) int32; low, high (W,) int32: the contexts of centre i are words[low[i] : high[i]] without i;
             centres_B, targets_B (B,) int64 out, targets -1 where there are no more.
    """
    n = 0
    while i < last and n < targets_B.shape[0]:
        if cbow:
            if high[i] - low[i] > 1:
                centres_B[n], targets_B[n] = i, words[i]
                n += 1
            i += 1
            continue
        j = max(j, low[i])
        if j == i:
            j += 1
        if j < high[i]:
            centres_B[n], targets_B[n] = i, words[j]
            n += 1
            j += 1
        else:
            i, j = i + 1, 0
    for b in range(n, targets_B.shape[0]):
        targets_B[b] = -1
    return n, i, j


@parallel_kernel
def train_span(
    x_VE, y_VE, words, low, high, first, last, cbow, rate, bounds, h_EB, h_BE, scores_VB, highest_SB, sums_SB, dh_SBE
):
    """Train the centres words[first : last]; returns (loss in nats, predictions).

    Shapes   x_VE, y_VE (V, E) in one precision; words, low, high (W,) int32, see next_batch; bounds (S + 1,) int64: shard
             s has the words bounds[s] .. bounds[s + 1] - 1; the rest is work space in the same precision: h_EB, h_BE,
             scores_VB, highest_SB, sums_SB (S, B), dh_SBE.
    Writes   x_VE and y_VE; with rate 0 they stay as they are.
    """
    batch, shards = h_BE.shape[0], bounds.shape[0] - 1
    centres_B, targets_B = np.zeros(batch, np.int64), np.full(batch, -1, np.int64)
    log_sums_B = np.zeros(batch, h_BE.dtype)
    loss, predictions = 0.0, 0
    i, j = first, first - first
    while i < last:
        n, i, j = next_batch(words, low, high, i, j, last, cbow, centres_B, targets_B)
        for b in range(n):
            _gather(x_VE, words, low, high, centres_B[b], cbow, h_EB, h_BE, b)
        for s in prange(shards):
            a, z = bounds[s], bounds[s + 1]
            _score(y_VE[a:z], h_EB, scores_VB[a:z], highest_SB[s], sums_SB[s])
        for b in range(n):
            highest, total = np.float64(highest_SB[0, b]), 0.0
            for s in range(1, shards):
                highest = max(highest, np.float64(highest_SB[s, b]))
            for s in range(shards):
                total += np.float64(sums_SB[s, b]) * math.exp(np.float64(highest_SB[s, b]) - highest)
            log_sum = highest + math.log(total)
            log_sums_B[b] = log_sum
            loss += log_sum - np.float64(scores_VB[targets_B[b], b])
        for s in prange(shards):
            a, z = bounds[s], bounds[s + 1]
            _move(y_VE[a:z], h_BE, scores_VB[a:z], log_sums_B, targets_B, a, rate, dh_SBE[s])
        for b in range(n):
            _scatter(x_VE, words, low, high, centres_B[b], cbow, dh_SBE, b)
        predictions += n
    return loss, predictions
