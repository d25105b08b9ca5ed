"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000) and its BPTT.

Dimension key: N packed tokens, B rows, S shards, I input, H hidden, G = 4 H gates in the order i, f, g, o (as torch),
P all dense parameters.

    a_t = W_ih x_t + b + W_hh h_{t-1},   i, f, o = sigmoid(a_i, a_f, a_o),   g = tanh(a_g)
    c_t = f c_{t-1} + i g,   h_t = o tanh(c_t),   h_0, c_0 zero or given
    dc_t += dh_t o tanh'(c_t),   dc_{t-1} = dc_t f
    da_i = dc_t g i',   da_f = dc_t c_{t-1} f',   da_g = dc_t i g',   da_o = dh_t tanh(c_t) o',   dh_{t-1} += W_hh^T da_t

Batches are packed as in kernels/rnn_simple.py. There is one bias b; torch's b_ih and b_hh enter as their sum.
"""

from typing import NamedTuple

import numpy as np

from rnncli.kernels import scalar
from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.matmul import add_packed_product, add_product_of_transpose, packed, packed_transpose
from rnncli.kernels.sequence import (
    add_rows,
    begin_columns,
    chunk_end,
    chunk_room,
    clear,
    is_chunk,
    project,
    states_before,
    step_bounds,
)

_tanh, _sech2, _sigmoid, _dsigmoid = scalar.tanh, scalar.sech2, scalar.sigmoid, scalar.dsigmoid


class LstmParams(NamedTuple):
    """Views of one layer's parameters (or their gradients) in the flat vector."""

    w_ih_GI: np.ndarray
    w_hh_GH: np.ndarray
    b_G: np.ndarray


class LstmCache(NamedTuple):
    """What the forward pass keeps for BPTT and for inspection, one row a token; a_NG has no rows where nobody wants it."""

    a_NG: np.ndarray  # pre-activations of the gates
    h_NH: np.ndarray  # states
    c_NH: np.ndarray  # cells
    begin_h_BH: np.ndarray  # h_0 of each row of the batch
    begin_c_BH: np.ndarray  # c_0


@kernel
def lstm_views(flat_P, offset, i_size, h_size):
    """LstmParams over flat_P[offset:], laid out W_ih, W_hh, b."""
    g_size = 4 * h_size
    hh = offset + g_size * i_size
    b = hh + g_size * h_size
    return LstmParams(
        flat_P[offset:hh].reshape((g_size, i_size)), flat_P[hh:b].reshape((g_size, h_size)), flat_P[b : b + g_size]
    )


@kernel
def _cell_forward(h_NH, c_NH, a_NG, c_before_NH):
    """The gates of one step, row by row."""
    size = h_NH.shape[1]
    for n in range(h_NH.shape[0]):
        h, c, before = h_NH[n], c_NH[n], c_before_NH[n]
        a_i, a_f = a_NG[n, :size], a_NG[n, size : 2 * size]
        a_g, a_o = a_NG[n, 2 * size : 3 * size], a_NG[n, 3 * size :]
        for j in range(size):
            c[j] = _sigmoid(a_f[j]) * before[j] + _sigmoid(a_i[j]) * _tanh(a_g[j])
        for j in range(size):
            h[j] = _sigmoid(a_o[j]) * _tanh(c[j])


@kernel
def _cell_backward(da_NG, dc_NH, dh_NH, a_NG, c_NH, c_before_NH):
    """da of one step from dh and dc, which becomes the dc of the step before."""
    size = dh_NH.shape[1]
    for n in range(dh_NH.shape[0]):
        dh, dc, c, before = dh_NH[n], dc_NH[n], c_NH[n], c_before_NH[n]
        a_i, a_f = a_NG[n, :size], a_NG[n, size : 2 * size]
        a_g, a_o = a_NG[n, 2 * size : 3 * size], a_NG[n, 3 * size :]
        d_i, d_f = da_NG[n, :size], da_NG[n, size : 2 * size]
        d_g, d_o = da_NG[n, 2 * size : 3 * size], da_NG[n, 3 * size :]
        for j in range(size):
            d_o[j] = dh[j] * _tanh(c[j]) * _dsigmoid(a_o[j])
            dc[j] += dh[j] * _sigmoid(a_o[j]) * _sech2(c[j])
        for j in range(size):
            d_i[j] = dc[j] * _tanh(a_g[j]) * _dsigmoid(a_i[j])
            d_g[j] = dc[j] * _sigmoid(a_i[j]) * _sech2(a_g[j])
        for j in range(size):
            d_f[j] = dc[j] * before[j] * _dsigmoid(a_f[j])
            dc[j] *= _sigmoid(a_f[j])


@kernel
def _shard_forward(a_NG, h_NH, c_NH, begin_h_BH, begin_c_BH, x_NI, w_ih_p, w_hh_p, b_G, lengths_B, start_BK):
    """One shard of lstm_forward; w_ih_p and w_hh_p are the transposed weights, packed."""
    starts = step_bounds(lengths_B)
    begin_columns(begin_h_BH, start_BK, 0)
    begin_columns(begin_c_BH, start_BK, h_NH.shape[1])
    keep = a_NG.shape[0] == x_NI.shape[0]
    a_CG = a_NG if keep else np.empty((chunk_room(lengths_B), a_NG.shape[1]), a_NG.dtype)
    base, read = 0, 0  # a_CG[0] is of token `base`; inputs were read up to token `read`
    for t in range(starts.size - 1):
        start, end = starts[t], starts[t + 1]
        if end > read:
            base, read = 0 if keep else start, chunk_end(starts, t)
            project(a_CG[start - base : read - base], x_NI[start:read], w_ih_p, b_G)
        a, h_before, c_before = a_CG[start - base : end - base], begin_h_BH[: end - start], begin_c_BH[: end - start]
        if t > 0:  # the rows still running are the first ones of the step before
            before = starts[t - 1]
            h_before, c_before = h_NH[before : before + end - start], c_NH[before : before + end - start]
        if t > 0 or start_BK.shape[0] > 0:
            add_packed_product(a, h_before, w_hh_p)
        _cell_forward(h_NH[start:end], c_NH[start:end], a, c_before)


@parallel_kernel
def lstm_forward(cache, x_NI, flat_P, offset, lengths_B, rows_S, tokens_S, start_BK, variant):
    """Run the recurrence over a packed batch.

    Shapes   cache LstmCache out; x_NI (N, I); flat_P (P,) with the layer at `offset`; lengths_B (B,) int64, descending
             inside each shard; rows_S, tokens_S (S + 1,) int64 bounds of the shards; start_BK (B, 2 H) h_0 and
             c_0 of each row, (0, 2 H) for zeros; `variant` is not used.
    Writes   every element of cache; pre-activations are dropped where cache.a_NG has no rows.
    Errors   none (checked by rnn.network).
    """
    i_size, h_size = x_NI.shape[1], cache.h_NH.shape[1]
    params = lstm_views(flat_P, offset, i_size, h_size)
    w_ih_p, w_hh_p, b_G = packed_transpose(params.w_ih_GI), packed_transpose(params.w_hh_GH), params.b_G
    a_NG, h_NH, c_NH, begin_h_BH, begin_c_BH = cache  # a prange body cannot see into tuples
    for s in prange(rows_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        b0, b1 = rows_S[s], rows_S[s + 1]
        _shard_forward(
            a_NG[n0:n1], h_NH[n0:n1], c_NH[n0:n1], begin_h_BH[b0:b1], begin_c_BH[b0:b1], x_NI[n0:n1],
            w_ih_p, w_hh_p, b_G, lengths_B[b0:b1], start_BK[b0:b1],
        )  # fmt: skip


@kernel
def _shard_backward(
    dx_NI, dflat_P, dh_NH, a_NG, h_NH, c_NH, begin_h_BH, begin_c_BH, x_NI, w_ih_p, w_hh_p, offset, lengths_B
):  # fmt: skip
    """One shard of lstm_backward; w_ih_p and w_hh_p are the weights, packed."""
    size = dh_NH.shape[1]
    grads = lstm_views(dflat_P, offset, x_NI.shape[1], size)
    starts = step_bounds(lengths_B)
    dc_BH = np.zeros((lengths_B.size, size), dh_NH.dtype)
    room = chunk_room(lengths_B)
    da_CG, before_CH = np.empty((room, 4 * size), dh_NH.dtype), np.empty((room, size), dh_NH.dtype)
    done = dh_NH.shape[0]  # da_CG ends with the token before `done`
    for t in range(starts.size - 2, -1, -1):
        start, end = starts[t], starts[t + 1]
        active, base = end - start, done - room
        da = da_CG[start - base : end - base]
        before = starts[t - 1] if t > 0 else start
        c_before = c_NH[before : before + active] if t > 0 else begin_c_BH[:active]
        _cell_backward(da, dc_BH[:active], dh_NH[start:end], a_NG[start:end], c_NH[start:end], c_before)
        if t > 0:
            add_packed_product(dh_NH[before : before + active], da, w_hh_p)
        if is_chunk(starts, t, done):
            da, h_before = da_CG[start - base :], before_CH[: done - start]
            states_before(h_before, h_NH, begin_h_BH, starts, t, done)
            add_rows(grads.b_G, da)
            add_product_of_transpose(grads.w_hh_GH, da, h_before)
            add_product_of_transpose(grads.w_ih_GI, da, x_NI[start:done])
            clear(dx_NI[start:done])
            add_packed_product(dx_NI[start:done], da, w_ih_p)
            done = start


@parallel_kernel
def lstm_backward(dx_NI, dflat_SP, dh_NH, cache, x_NI, flat_P, offset, lengths_B, rows_S, tokens_S, variant):
    """Back-propagate through every time step of a packed batch.

    Shapes   dx_NI (N, I) out; dflat_SP (S, P) gradients per shard, accumulated; dh_NH (N, H) in: dL/dh_t from above, ends
             as the whole dL/dh_t; cache as lstm_forward left it; the rest as lstm_forward.
    Inverts  lstm_forward, last step to first.
    """
    i_size, h_size = x_NI.shape[1], dh_NH.shape[1]
    params = lstm_views(flat_P, offset, i_size, h_size)
    w_ih_p, w_hh_p = packed(params.w_ih_GI), packed(params.w_hh_GH)
    a_NG, h_NH, c_NH, begin_h_BH, begin_c_BH = cache
    for s in prange(rows_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        b0, b1 = rows_S[s], rows_S[s + 1]
        _shard_backward(
            dx_NI[n0:n1], dflat_SP[s], dh_NH[n0:n1], a_NG[n0:n1], h_NH[n0:n1], c_NH[n0:n1], begin_h_BH[b0:b1],
            begin_c_BH[b0:b1], x_NI[n0:n1], w_ih_p, w_hh_p, offset, lengths_B[b0:b1],
        )  # fmt: skip
