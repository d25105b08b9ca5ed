"""States of every step -> one vector a row: last, mean, max, attention; and their gradients.

Dimension key: N packed tokens, B rows, S shards, O width of a state, H width of one direction.

    last        forward direction at the last token, reverse direction (columns H ..) at the first
    mean        (1/L) sum_t h_t
    max         max_t h_t, unit by unit; the first of equal ones takes the gradient
    attention   sum_t p_t h_t,  p = softmax_t(q . h_t), q learned (after Yang et al. 2016, without its hidden layer)

A row without tokens gives zero. Rows are the unit of work: none depends on another.
"""

import math

import numpy as np

from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.sequence import clear, copy_row, step_bounds


@kernel
def take_last(pooled_BO, h_NO, first_B, last_B, h_size):
    """h_L of every row, the reverse direction's at its own end; zero (h_0) for a row without tokens."""
    for b in range(last_B.size):
        if last_B[b] >= 0:
            copy_row(pooled_BO[b, :h_size], h_NO[last_B[b], :h_size])
            copy_row(pooled_BO[b, h_size:], h_NO[first_B[b], h_size:])
        else:
            clear(pooled_BO[b : b + 1])


@kernel
def put_last(dh_NO, dpooled_BO, first_B, last_B, h_size):
    """Gradient of take_last: dh_NO is zeroed, then holds dL/dh at the tokens that were taken."""
    clear(dh_NO)
    for b in range(last_B.size):
        if last_B[b] >= 0:
            copy_row(dh_NO[last_B[b], :h_size], dpooled_BO[b, :h_size])
            copy_row(dh_NO[first_B[b], h_size:], dpooled_BO[b, h_size:])


@kernel
def _mean_row(pooled_O, h_NO, starts, row, length):
    for t in range(length):
        for j in range(pooled_O.size):
            pooled_O[j] += h_NO[starts[t] + row, j]
    for j in range(pooled_O.size):
        pooled_O[j] /= pooled_O.dtype.type(length)


@kernel
def _max_row(pooled_O, chosen_O, h_NO, starts, row, length):
    copy_row(pooled_O, h_NO[row])
    for t in range(1, length):
        for j in range(pooled_O.size):
            if h_NO[starts[t] + row, j] > pooled_O[j]:
                pooled_O[j] = h_NO[starts[t] + row, j]
                chosen_O[j] = t


@kernel
def _attend_row(pooled_O, weight_N, h_NO, starts, row, length, query_O):
    highest = -np.inf
    for t in range(length):
        score = weight_N.dtype.type(0)
        for j in range(query_O.size):
            score += query_O[j] * h_NO[starts[t] + row, j]
        weight_N[starts[t] + row] = score
        highest = max(highest, np.float64(score))
    total = 0.0
    for t in range(length):
        share = math.exp(np.float64(weight_N[starts[t] + row]) - highest)
        weight_N[starts[t] + row] = share
        total += share
    for t in range(length):
        weight_N[starts[t] + row] /= weight_N.dtype.type(total)
        for j in range(pooled_O.size):
            pooled_O[j] += weight_N[starts[t] + row] * h_NO[starts[t] + row, j]


MEAN, MAX, ATTENTION = range(3)


@parallel_kernel
def pool(pooled_BO, chosen_BO, weight_N, h_NO, query_O, lengths_B, rows_S, tokens_S, how):
    """Mean, max or attention over the tokens of every row.

    Shapes   pooled_BO (B, O) out; chosen_BO (B, O) int32 out: the step that was the largest (max); weight_N (N,) out:
             p_t (attention); h_NO (N, O); query_O (O,), empty but for attention; the rest as in kernels/rnn_simple.py.
    """
    for s in prange(rows_S.size - 1):
        b0, n0, n1 = rows_S[s], tokens_S[s], tokens_S[s + 1]
        lengths = lengths_B[b0 : rows_S[s + 1]]
        starts = step_bounds(lengths)
        for row in range(lengths.size):
            out = pooled_BO[b0 + row]
            for j in range(out.size):
                out[j] = 0
                chosen_BO[b0 + row, j] = 0
            if lengths[row] == 0:
                continue
            if how == MEAN:
                _mean_row(out, h_NO[n0:n1], starts, row, lengths[row])
            elif how == MAX:
                _max_row(out, chosen_BO[b0 + row], h_NO[n0:n1], starts, row, lengths[row])
            else:
                _attend_row(out, weight_N[n0:n1], h_NO[n0:n1], starts, row, lengths[row], query_O)


@kernel
def _attend_row_back(dh_NO, dquery_O, dpooled_O, weight_N, h_NO, starts, row, length, query_O):
    """ds_t = p_t (dpooled . h_t - sum_u p_u dpooled . h_u), dh_t = p_t dpooled + ds_t q, dq += ds_t h_t."""
    mean = dpooled_O.dtype.type(0)
    for t in range(length):
        inner = dpooled_O.dtype.type(0)
        for j in range(query_O.size):
            inner += dpooled_O[j] * h_NO[starts[t] + row, j]
        dh_NO[starts[t] + row, 0] = inner  # kept here until the mean is known
        mean += weight_N[starts[t] + row] * inner
    for t in range(length):
        n = starts[t] + row
        ds = weight_N[n] * (dh_NO[n, 0] - mean)
        for j in range(query_O.size):
            dh_NO[n, j] = weight_N[n] * dpooled_O[j] + ds * query_O[j]
            dquery_O[j] += ds * h_NO[n, j]


@parallel_kernel
def pool_backward(
    dh_NO, dquery_SO, dpooled_BO, chosen_BO, weight_N, h_NO, query_O, lengths_B, rows_S, tokens_S, how
):  # fmt: skip
    """dL/dh of every token (N, O) out, and dL/dq per shard (S, O), accumulated; the rest as `pool` left it."""
    for s in prange(rows_S.size - 1):
        b0, n0, n1 = rows_S[s], tokens_S[s], tokens_S[s + 1]
        lengths = lengths_B[b0 : rows_S[s + 1]]
        starts = step_bounds(lengths)
        dh = dh_NO[n0:n1]
        clear(dh)
        for row in range(lengths.size):
            d = dpooled_BO[b0 + row]
            if how == MEAN:
                for t in range(lengths[row]):
                    for j in range(d.size):
                        dh[starts[t] + row, j] = d[j] / d.dtype.type(lengths[row])
            elif how == MAX:
                if lengths[row] > 0:
                    for j in range(d.size):
                        dh[starts[chosen_BO[b0 + row, j]] + row, j] = d[j]
            else:
                _attend_row_back(
                    dh, dquery_SO[s], d, weight_N[n0:n1], h_NO[n0:n1], starts, row, lengths[row], query_O
                )  # fmt: skip
