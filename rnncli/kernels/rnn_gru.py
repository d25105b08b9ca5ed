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
from rnncli.kernels.matmul import add_product, add_product_of_transpose
from rnncli.kernels.sequence import add_rows, begin_columns, clear, copy_row, step_bounds

_tanh, _sech2, _sigmoid, _dsigmoid = scalar.tanh, scalar.sech2, scalar.sigmoid, scalar.dsigmoid


class GruParams(NamedTuple):
    """Views of one layer's parameters (or their gradients) in the flat vector."""

    w_ih_GI: np.ndarray
    w_rz_2HH: np.ndarray  # recurrent weights of r and z (2 H, H)
    w_n_HH: np.ndarray  # recurrent weights of n
    b_G: np.ndarray
    b_hn_H: np.ndarray


class GruCache(NamedTuple):
    """What the forward pass keeps for BPTT and for inspection, one row a token."""

    a_NG: np.ndarray  # pre-activations of the gates
    h_NH: np.ndarray  # states
    h_before_NH: np.ndarray  # h_{t-1} of the same row
    m_NH: np.ndarray  # W_hn h_{t-1} + b_hn (after) or r h_{t-1} (before)


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
def _step_forward(a_NG, h_NH, m_NH, h_before_NH, w_rz_t_H2H, w_n_t_HH, b_hn_H, before):
    """One step; a_NG holds W_ih x + b. The products' columns r, z and n are taken apart in rz_N2 and m_NH."""
    size = h_NH.shape[1]
    rz_N2 = np.zeros((h_NH.shape[0], 2 * size), a_NG.dtype)
    add_product(rz_N2, h_before_NH, w_rz_t_H2H)
    for row in range(h_NH.shape[0]):
        for j in range(2 * size):
            a_NG[row, j] += rz_N2[row, j]
    if before:
        n_NH = np.empty((h_NH.shape[0], size), a_NG.dtype)
        for row in range(h_NH.shape[0]):
            copy_row(n_NH[row], b_hn_H)
            m, earlier, a_r = m_NH[row], h_before_NH[row], a_NG[row, :size]
            for j in range(size):
                m[j] = _sigmoid(a_r[j]) * earlier[j]
        add_product(n_NH, m_NH, w_n_t_HH)
        for row in range(h_NH.shape[0]):
            a_n, n = a_NG[row, 2 * size :], n_NH[row]
            for j in range(size):
                a_n[j] += n[j]
    else:
        for row in range(h_NH.shape[0]):
            copy_row(m_NH[row], b_hn_H)
        add_product(m_NH, h_before_NH, w_n_t_HH)
        for row in range(h_NH.shape[0]):
            a_r, a_n, m = a_NG[row, :size], a_NG[row, 2 * size :], m_NH[row]
            for j in range(size):
                a_n[j] += _sigmoid(a_r[j]) * m[j]
    _mix(h_NH, a_NG, h_before_NH)


@kernel
def _shard_forward(
    a_NG, h_NH, h_before_NH, m_NH, x_NI, w_ih_IG, w_rz_t_H2H, w_n_t_HH, b_G, b_hn_H, lengths_B, start_BK, before
):  # fmt: skip
    """One shard of gru_forward; the weights are transposed."""
    for n in range(x_NI.shape[0]):
        copy_row(a_NG[n], b_G)
    add_product(a_NG, x_NI, w_ih_IG)
    starts = step_bounds(lengths_B)
    for t in range(starts.size - 1):
        start, end = starts[t], starts[t + 1]
        if t == 0:
            begin_columns(h_before_NH[start:end], start_BK, 0)
        else:
            for row in range(end - start):  # the rows still running are the first ones of the step before
                copy_row(h_before_NH[start + row], h_NH[starts[t - 1] + row])
        _step_forward(
            a_NG[start:end], h_NH[start:end], m_NH[start:end], h_before_NH[start:end], w_rz_t_H2H, w_n_t_HH, b_hn_H,
            before,
        )  # fmt: skip


@parallel_kernel
def gru_forward(cache, x_NI, flat_P, offset, lengths_B, rows_S, tokens_S, start_BK, before):
    """Run the recurrence over a packed batch.

    Shapes   cache GruCache out; x_NI (N, I); flat_P (P,) with the layer at `offset`; lengths_B (B,) int64, descending
             inside each shard; rows_S, tokens_S (S + 1,) int64 bounds of the shards; start_BK (B, H) the h_0 of
             each row, (0, H) for zeros; `before`: where the reset gate is.
    Writes   every element of cache.   Errors: none (checked by rnn.network).
    """
    params = gru_views(flat_P, offset, x_NI.shape[1], cache.h_NH.shape[1])
    w_ih_IG = np.ascontiguousarray(params.w_ih_GI.T)
    w_rz_t_H2H, w_n_t_HH = np.ascontiguousarray(params.w_rz_2HH.T), np.ascontiguousarray(params.w_n_HH.T)
    b_G, b_hn_H = params.b_G, params.b_hn_H
    a_NG, h_NH, h_before_NH, m_NH = cache  # a prange body cannot see into tuples
    for s in prange(rows_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        lengths = lengths_B[rows_S[s] : rows_S[s + 1]]
        _shard_forward(
            a_NG[n0:n1], h_NH[n0:n1], h_before_NH[n0:n1], m_NH[n0:n1], x_NI[n0:n1], w_ih_IG, w_rz_t_H2H, w_n_t_HH, b_G,
            b_hn_H, lengths, start_BK[rows_S[s] : rows_S[s + 1]], before,
        )  # fmt: skip


@kernel
def _step_backward(a_NG, m_NH, dh_NH, dm_NH, dbefore_NH, h_before_NH, w_n_HH, before):
    """One step: a_NG ends as da, dm_NH as dL/d(W_hn h + b_hn) (after) or dL/da_n (before).

    dbefore_NH gets the part of dL/dh_{t-1} that goes past W_hr and W_hz, and W_hn where the gate is before it.
    """
    size = dh_NH.shape[1]
    for row in range(dh_NH.shape[0]):
        dh, dm, d_before, earlier, m = dh_NH[row], dm_NH[row], dbefore_NH[row], h_before_NH[row], m_NH[row]
        a_r, a_z, a_n = a_NG[row, :size], a_NG[row, size : 2 * size], a_NG[row, 2 * size :]
        for j in range(size):
            z = _sigmoid(a_z[j])
            d_before[j] = dh[j] * z
            d_z = dh[j] * (earlier[j] - _tanh(a_n[j])) * _dsigmoid(a_z[j])
            d_n = dh[j] * _sigmoid(-a_z[j]) * _sech2(a_n[j])
            a_z[j] = d_z
            a_n[j] = d_n
        if before:
            for j in range(size):
                dm[j] = a_n[j]
        else:
            for j in range(size):
                dm[j] = a_n[j] * _sigmoid(a_r[j])
                a_r[j] = a_n[j] * m[j] * _dsigmoid(a_r[j])
    if before:
        dreset_NH = np.zeros((dh_NH.shape[0], size), dh_NH.dtype)  # dL/d(r h_{t-1})
        add_product(dreset_NH, dm_NH, w_n_HH)
        for row in range(dh_NH.shape[0]):
            d_before, earlier, d_reset, a_r = dbefore_NH[row], h_before_NH[row], dreset_NH[row], a_NG[row, :size]
            for j in range(size):
                d_before[j] += d_reset[j] * _sigmoid(a_r[j])
                a_r[j] = d_reset[j] * earlier[j] * _dsigmoid(a_r[j])


@kernel
def _shard_backward(dx_NI, dflat_P, dh_NH, a_NG, h_before_NH, m_NH, x_NI, flat_P, offset, lengths_B, before):
    """One shard of gru_backward; a_NG ends as da_NG."""
    size = dh_NH.shape[1]
    params = gru_views(flat_P, offset, x_NI.shape[1], size)
    grads = gru_views(dflat_P, offset, x_NI.shape[1], size)
    starts = step_bounds(lengths_B)
    dm_NH = np.empty_like(dh_NH)
    dbefore_BH = np.empty((lengths_B.size, size), dh_NH.dtype)
    rz_N2 = np.empty((dh_NH.shape[0], 2 * size), dh_NH.dtype)
    for t in range(starts.size - 2, -1, -1):
        start, end = starts[t], starts[t + 1]
        active = end - start
        _step_backward(
            a_NG[start:end], m_NH[start:end], dh_NH[start:end], dm_NH[start:end], dbefore_BH[:active],
            h_before_NH[start:end], params.w_n_HH, before,
        )  # fmt: skip
        for row in range(active):
            copy_row(rz_N2[start + row], a_NG[start + row, : 2 * size])
        if t > 0:
            first = starts[t - 1]
            earlier_NH = dh_NH[first : first + active]
            for row in range(active):
                for j in range(size):
                    earlier_NH[row, j] += dbefore_BH[row, j]
            add_product(earlier_NH, rz_N2[start:end], params.w_rz_2HH)
            if not before:
                add_product(earlier_NH, dm_NH[start:end], params.w_n_HH)
    add_rows(grads.b_G, a_NG)
    add_rows(grads.b_hn_H, dm_NH)
    add_product_of_transpose(grads.w_rz_2HH, rz_N2, h_before_NH)
    add_product_of_transpose(grads.w_n_HH, dm_NH, m_NH if before else h_before_NH)
    add_product_of_transpose(grads.w_ih_GI, a_NG, x_NI)
    clear(dx_NI)
    add_product(dx_NI, a_NG, params.w_ih_GI)


@parallel_kernel
def gru_backward(dx_NI, dflat_SP, dh_NH, cache, x_NI, flat_P, offset, lengths_B, rows_S, tokens_S, before):
    """Back-propagate through every time step of a packed batch.

    Shapes   dx_NI (N, I) out; dflat_SP (S, P) gradients per shard, accumulated; dh_NH (N, H) in: dL/dh_t from above, ends
             as the whole dL/dh_t; cache as gru_forward left it, a_NG ends as dL/da_t; the rest as gru_forward.
    Inverts  gru_forward, last step to first.
    """
    a_NG, _, h_before_NH, m_NH = cache
    for s in prange(rows_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        lengths = lengths_B[rows_S[s] : rows_S[s + 1]]
        _shard_backward(
            dx_NI[n0:n1], dflat_SP[s], dh_NH[n0:n1], a_NG[n0:n1], h_before_NH[n0:n1], m_NH[n0:n1], x_NI[n0:n1], flat_P,
            offset, lengths, before,
        )  # fmt: skip
