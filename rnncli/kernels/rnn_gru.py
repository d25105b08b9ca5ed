"""The gated recurrent unit (Cho et al. 2014) and its BPTT, with the reset gate after or before the product.

Dimension key: N packed tokens, B rows, S shards, I input, H hidden, G = 3 H gates in the order r, z, n (as torch),
P all dense parameters.

    r = sigmoid(W_ir x_t + b_r + W_hr h_{t-1}),   z = sigmoid(W_iz x_t + b_z + W_hz h_{t-1}),   h_0 zero or given
    after    n = tanh(W_in x_t + b_n + r (W_hn h_{t-1} + b_hn))         as torch and cuDNN; the default
    before   n = tanh(W_in x_t + b_n + W_hn (r h_{t-1}) + b_hn)         as in the paper
    h_t = (1 - z) n + z h_{t-1}

m_t below is W_hn h_{t-1} + b_hn (after), or r h_{t-1} (before). Batches are packed as in kernels/rnn_simple.py. torch's
b_ir + b_hr and b_iz + b_hz enter as sums; b_hn stays apart because `after` multiplies it.
"""

from typing import NamedTuple

import numpy as np

from rnncli.kernels import scalar
from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.matmul import (
    add_packed_columns,
    add_packed_product,
    add_product_of_columns,
    packed,
    packed_transpose,
)
from rnncli.kernels.sequence import (
    begin_columns,
    chunk_end,
    chunk_room,
    clear,
    copy_row,
    is_chunk,
    project,
    states_before,
    step_bounds,
)

_tanh, _sech2, _sigmoid, _dsigmoid = scalar.tanh, scalar.sech2, scalar.sigmoid, scalar.dsigmoid


class GruParams(NamedTuple):
    """Views of one layer's parameters (or their gradients) in the flat vector."""

    w_ih_GI: np.ndarray
    w_rz_2HH: np.ndarray  # recurrent weights of r and z (2 H, H)
    w_n_HH: np.ndarray  # recurrent weights of n
    b_G: np.ndarray
    b_hn_H: np.ndarray


class GruCache(NamedTuple):
    """What the forward pass keeps for BPTT and for inspection, one row a token; a_NG has no rows where nobody wants it."""

    a_NG: np.ndarray  # pre-activations of the gates
    h_NH: np.ndarray  # states
    m_NH: np.ndarray  # W_hn h_{t-1} + b_hn (after) or r h_{t-1} (before)
    begin_BH: np.ndarray  # h_0 of each row of the batch


@kernel
def gru_views(flat_P, offset, i_size, h_size):
    """GruParams over flat_P[offset:], laid out W_ih, W_hh, b, b_hn."""
    g_size = 3 * h_size
    hh = offset + g_size * i_size
    hn = hh + 2 * h_size * h_size
    b = hh + g_size * h_size
    return GruParams(
        flat_P[offset:hh].reshape((g_size, i_size)), flat_P[hh:hn].reshape((2 * h_size, h_size)),
        flat_P[hn:b].reshape((h_size, h_size)), flat_P[b : b + g_size], flat_P[b + g_size : b + g_size + h_size],
    )  # fmt: skip


@kernel
def _mix(h_NH, a_NG, h_before_NH):
    """h = (1 - z) n + z h_before, row by row."""
    size = h_NH.shape[1]
    for row in range(h_NH.shape[0]):
        h, before = h_NH[row], h_before_NH[row]
        a_z, a_n = a_NG[row, size : 2 * size], a_NG[row, 2 * size :]
        for j in range(size):
            n = _tanh(a_n[j])
            h[j] = n + _sigmoid(a_z[j]) * (before[j] - n)


@kernel
def _step_forward(a_NG, h_NH, m_NH, h_before_NH, w_rz_p, w_n_p, b_hn_H, before):
    """One step; a_NG holds W_ih x + b."""
    size, zero = h_NH.shape[1], 0 * h_NH.shape[1]
    add_packed_columns(a_NG, zero, 2 * size, h_before_NH, zero, size, w_rz_p)
    if before:
        for row in range(h_NH.shape[0]):
            m, earlier, a_r, a_n = m_NH[row], h_before_NH[row], a_NG[row, :size], a_NG[row, 2 * size :]
            for j in range(size):
                m[j] = _sigmoid(a_r[j]) * earlier[j]
            for j in range(size):
                a_n[j] += b_hn_H[j]
        add_packed_columns(a_NG, 2 * size, size, m_NH, zero, size, w_n_p)
    else:
        for row in range(h_NH.shape[0]):
            copy_row(m_NH[row], b_hn_H)
        add_packed_product(m_NH, h_before_NH, w_n_p)
        for row in range(h_NH.shape[0]):
            a_r, a_n, m = a_NG[row, :size], a_NG[row, 2 * size :], m_NH[row]
            for j in range(size):
                a_n[j] += _sigmoid(a_r[j]) * m[j]
    _mix(h_NH, a_NG, h_before_NH)


@kernel
def _shard_forward(
    a_NG, h_NH, m_NH, begin_BH, x_NI, w_ih_p, w_rz_p, w_n_p, b_G, b_hn_H, lengths_B, start_BK, before
):  # fmt: skip
    """One shard of gru_forward; the weights are transposed and packed."""
    starts = step_bounds(lengths_B)
    begin_columns(begin_BH, start_BK, 0)
    keep = a_NG.shape[0] == x_NI.shape[0]
    a_CG = a_NG if keep else np.empty((chunk_room(lengths_B), a_NG.shape[1]), a_NG.dtype)
    base, read = 0, 0  # a_CG[0] is of token `base`; inputs were read up to token `read`
    for t in range(starts.size - 1):
        start, end = starts[t], starts[t + 1]
        if end > read:
            base, read = 0 if keep else start, chunk_end(starts, t)
            project(a_CG[start - base : read - base], x_NI[start:read], w_ih_p, b_G)
        h_before = begin_BH[: end - start]
        if t > 0:  # the rows still running are the first ones of the step before
            h_before = h_NH[starts[t - 1] : starts[t - 1] + end - start]
        _step_forward(
            a_CG[start - base : end - base], h_NH[start:end], m_NH[start:end], h_before, w_rz_p, w_n_p, b_hn_H, before
        )


@parallel_kernel
def gru_forward(cache, x_NI, flat_P, offset, lengths_B, rows_S, tokens_S, start_BK, before):
    """Run the recurrence over a packed batch.

    Shapes   cache GruCache out; x_NI (N, I); flat_P (P,) with the layer at `offset`; lengths_B (B,) int64, descending
             inside each shard; rows_S, tokens_S (S + 1,) int64 bounds of the shards; start_BK (B, H) the h_0 of
             each row, (0, H) for zeros; `before`: where the reset gate is.
    Writes   every element of cache; pre-activations are dropped where cache.a_NG has no rows.
    Errors   none (checked by rnn.network).
    """
    i_size, h_size = x_NI.shape[1], cache.h_NH.shape[1]
    params = gru_views(flat_P, offset, i_size, h_size)
    w_ih_p, b_G, b_hn_H = packed_transpose(params.w_ih_GI), params.b_G, params.b_hn_H
    w_rz_p, w_n_p = packed_transpose(params.w_rz_2HH), packed_transpose(params.w_n_HH)
    a_NG, h_NH, m_NH, begin_BH = cache  # a prange body cannot see into tuples
    for s in prange(rows_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        b0, b1 = rows_S[s], rows_S[s + 1]
        _shard_forward(
            a_NG[n0:n1], h_NH[n0:n1], m_NH[n0:n1], begin_BH[b0:b1], x_NI[n0:n1], w_ih_p, w_rz_p, w_n_p, b_G, b_hn_H,
            lengths_B[b0:b1], start_BK[b0:b1], before,
        )  # fmt: skip


@kernel
def _step_backward(d_N4, m_NH, dh_NH, dbefore_NH, a_NG, h_before_NH, w_n_p, before):
    """One step: d_N4 gets da_r, da_z, dL/d(W_hn h + b_hn) and da_n, of which the last two are one where the gate is before.

    dbefore_NH gets the part of dL/dh_{t-1} that goes past W_hr and W_hz, and W_hn where the gate is before it.
    """
    size, rows = dh_NH.shape[1], dh_NH.shape[0]
    for row in range(rows):
        dh, d_before, earlier, m = dh_NH[row], dbefore_NH[row], h_before_NH[row], m_NH[row]
        a_r, a_z, a_n = a_NG[row, :size], a_NG[row, size : 2 * size], a_NG[row, 2 * size :]
        d_r, d_z = d_N4[row, :size], d_N4[row, size : 2 * size]
        d_m, d_n = d_N4[row, 2 * size : 3 * size], d_N4[row, 3 * size :]
        for j in range(size):
            d_before[j] = dh[j] * _sigmoid(a_z[j])
            d_z[j] = dh[j] * (earlier[j] - _tanh(a_n[j])) * _dsigmoid(a_z[j])
        for j in range(size):
            d_n[j] = dh[j] * _sigmoid(-a_z[j]) * _sech2(a_n[j])
        if before:
            for j in range(size):
                d_m[j] = d_n[j]
        else:
            for j in range(size):
                d_m[j] = d_n[j] * _sigmoid(a_r[j])
                d_r[j] = d_n[j] * m[j] * _dsigmoid(a_r[j])
    if before:
        dreset_NH = np.zeros((rows, size), dh_NH.dtype)  # dL/d(r h_{t-1})
        add_packed_columns(dreset_NH, 0 * size, size, d_N4, 3 * size, size, w_n_p)
        for row in range(rows):
            d_before, earlier, d_reset = dbefore_NH[row], h_before_NH[row], dreset_NH[row]
            a_r, d_r = a_NG[row, :size], d_N4[row, :size]
            for j in range(size):
                d_before[j] += d_reset[j] * _sigmoid(a_r[j])
                d_r[j] = d_reset[j] * earlier[j] * _dsigmoid(a_r[j])


@kernel
def _add_gradients(dflat_P, offset, d_C4, x_CI, h_before_CH, m_CH, before):
    """Of all parameters, from one chunk of tokens."""
    size = h_before_CH.shape[1]
    grads, zero = gru_views(dflat_P, offset, x_CI.shape[1], size), 0 * size
    for n in range(d_C4.shape[0]):
        d = d_C4[n]
        for j in range(2 * size):
            grads.b_G[j] += d[j]
        for j in range(size):
            grads.b_G[2 * size + j] += d[3 * size + j]
        for j in range(size):
            grads.b_hn_H[j] += d[2 * size + j]
    add_product_of_columns(grads.w_rz_2HH, d_C4, zero, h_before_CH)
    add_product_of_columns(grads.w_n_HH, d_C4, 2 * size, m_CH if before else h_before_CH)
    add_product_of_columns(grads.w_ih_GI[: 2 * size], d_C4, zero, x_CI)
    add_product_of_columns(grads.w_ih_GI[2 * size :], d_C4, 3 * size, x_CI)


@kernel
def _shard_backward(
    dx_NI, dflat_P, dh_NH, a_NG, h_NH, m_NH, begin_BH, x_NI, w_ih_rz_p, w_ih_n_p, w_rz_p, w_n_p, offset, lengths_B, before
):  # fmt: skip
    """One shard of gru_backward; the weights are packed."""
    size, zero = dh_NH.shape[1], 0 * dh_NH.shape[1]
    starts = step_bounds(lengths_B)
    room = chunk_room(lengths_B)
    d_C4, before_CH = np.empty((room, 4 * size), dh_NH.dtype), np.empty((room, size), dh_NH.dtype)
    dbefore_BH = np.empty((lengths_B.size, size), dh_NH.dtype)
    done = dh_NH.shape[0]  # d_C4 ends with the token before `done`
    for t in range(starts.size - 2, -1, -1):
        start, end = starts[t], starts[t + 1]
        active, base, first = end - start, done - room, starts[t - 1] if t > 0 else start
        d = d_C4[start - base : end - base]
        h_before = h_NH[first : first + active] if t > 0 else begin_BH[:active]
        _step_backward(
            d, m_NH[start:end], dh_NH[start:end], dbefore_BH[:active], a_NG[start:end], h_before, w_n_p, before
        )
        if t > 0:
            earlier_NH = dh_NH[first : first + active]
            for row in range(active):
                for j in range(size):
                    earlier_NH[row, j] += dbefore_BH[row, j]
            add_packed_columns(earlier_NH, zero, size, d, zero, 2 * size, w_rz_p)
            if not before:
                add_packed_columns(earlier_NH, zero, size, d, 2 * size, size, w_n_p)
        if is_chunk(starts, t, done):
            d, h_before = d_C4[start - base :], before_CH[: done - start]
            states_before(h_before, h_NH, begin_BH, starts, t, done)
            _add_gradients(dflat_P, offset, d, x_NI[start:done], h_before, m_NH[start:done], before)
            dx_CI = dx_NI[start:done]
            clear(dx_CI)
            add_packed_columns(dx_CI, zero, dx_CI.shape[1], d, zero, 2 * size, w_ih_rz_p)
            add_packed_columns(dx_CI, zero, dx_CI.shape[1], d, 3 * size, size, w_ih_n_p)
            done = start


@parallel_kernel
def gru_backward(dx_NI, dflat_SP, dh_NH, cache, x_NI, flat_P, offset, lengths_B, rows_S, tokens_S, before):
    """Back-propagate through every time step of a packed batch.

    Shapes   dx_NI (N, I) out; dflat_SP (S, P) gradients per shard, accumulated; dh_NH (N, H) in: dL/dh_t from above, ends
             as the whole dL/dh_t; cache as gru_forward left it; the rest as gru_forward.
    Inverts  gru_forward, last step to first.
    """
    i_size, h_size = x_NI.shape[1], dh_NH.shape[1]
    params = gru_views(flat_P, offset, i_size, h_size)
    w_ih_rz_p, w_ih_n_p = packed(params.w_ih_GI[: 2 * h_size]), packed(params.w_ih_GI[2 * h_size :])
    w_rz_p, w_n_p = packed(params.w_rz_2HH), packed(params.w_n_HH)
    a_NG, h_NH, m_NH, begin_BH = cache
    for s in prange(rows_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        b0, b1 = rows_S[s], rows_S[s + 1]
        _shard_backward(
            dx_NI[n0:n1], dflat_SP[s], dh_NH[n0:n1], a_NG[n0:n1], h_NH[n0:n1], m_NH[n0:n1], begin_BH[b0:b1],
            x_NI[n0:n1], w_ih_rz_p, w_ih_n_p, w_rz_p, w_n_p, offset, lengths_B[b0:b1], before,
        )  # fmt: skip
