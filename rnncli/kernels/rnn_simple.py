"""The plain recurrence (Elman 1990) and its back-propagation through time, tanh or ReLU.

Dimension key: N packed tokens, B rows, S shards, I input, H hidden, P all dense parameters.

    a_t = W_xh x_t + b_h + W_hh h_{t-1},   h_t = g(a_t),   h_0 = 0, or where an earlier batch ended
    da_t = dh_t g'(a_t),   dh_{t-1} += W_hh^T da_t                   (Werbos 1990, "Backpropagation through time")
    dW_xh = sum_t da_t x_t^T,   dW_hh = sum_t da_t h_{t-1}^T,   db_h = sum_t da_t

Batches are packed (kernels/sequence.py): the rows of a shard are sorted by length, longest first, and lie time-major
without padding, so the rows still running at step t are the first `active(t)` of the shard.
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

_tanh, _sech2 = scalar.tanh, scalar.sech2


class SimpleParams(NamedTuple):
    """Views of one layer's parameters (or their gradients) in the flat vector."""

    w_ih_HI: np.ndarray  # W_xh (H, I)
    w_hh_HH: np.ndarray  # W_hh (H, H)
    b_H: np.ndarray  # b_h (H,)


class SimpleCache(NamedTuple):
    """What the forward pass keeps for BPTT and for inspection, one row a token; a_NH has no rows where nobody wants it."""

    a_NH: np.ndarray  # pre-activations
    h_NH: np.ndarray  # states
    begin_BH: np.ndarray  # h_0 of each row of the batch


@kernel
def simple_views(flat_P, offset, i_size, h_size):
    """SimpleParams over flat_P[offset:], laid out W_xh, W_hh, b_h."""
    hh = offset + h_size * i_size
    b = hh + h_size * h_size
    return SimpleParams(
        flat_P[offset:hh].reshape((h_size, i_size)), flat_P[hh:b].reshape((h_size, h_size)), flat_P[b : b + h_size]
    )


@kernel
def _activate(h_NH, a_NH, relu):
    h, a = h_NH.reshape(h_NH.size), a_NH.reshape(a_NH.size)
    if relu:
        for i in range(a.size):
            h[i] = max(a[i], a.dtype.type(0))
    else:
        for i in range(a.size):
            h[i] = _tanh(a[i])


@kernel
def _times_derivative(dh_NH, a_NH, relu):
    """dh <- dh g'(a); the subgradient of ReLU at 0 is 0."""
    d, a = dh_NH.reshape(dh_NH.size), a_NH.reshape(a_NH.size)
    if relu:
        for i in range(a.size):
            d[i] = d[i] if a[i] > 0 else d.dtype.type(0)
    else:
        for i in range(a.size):
            d[i] = d[i] * _sech2(a[i])


@kernel
def _shard_forward(a_NH, h_NH, begin_BH, x_NI, w_ih_p, w_hh_p, b_H, lengths_B, start_BK, relu):
    """One shard of simple_forward; w_ih_p and w_hh_p are the transposed weights, packed."""
    starts = step_bounds(lengths_B)
    begin_columns(begin_BH, start_BK, 0)
    keep = a_NH.shape[0] == x_NI.shape[0]
    a_CH = a_NH if keep else np.empty((chunk_room(lengths_B), a_NH.shape[1]), a_NH.dtype)
    base, read = 0, 0  # a_CH[0] is of token `base`; inputs were read up to token `read`
    for t in range(starts.size - 1):
        start, end = starts[t], starts[t + 1]
        if end > read:
            base, read = 0 if keep else start, chunk_end(starts, t)
            project(a_CH[start - base : read - base], x_NI[start:read], w_ih_p, b_H)
        a = a_CH[start - base : end - base]
        if t > 0:  # the rows still running are the first ones of the step before
            add_packed_product(a, h_NH[starts[t - 1] : starts[t - 1] + end - start], w_hh_p)
        elif start_BK.shape[0] > 0:
            add_packed_product(a, begin_BH[: end - start], w_hh_p)
        _activate(h_NH[start:end], a, relu)


@parallel_kernel
def simple_forward(cache, x_NI, flat_P, offset, lengths_B, rows_S, tokens_S, start_BK, relu):
    """Run the recurrence over a packed batch.

    Shapes   cache SimpleCache of (N, H) out; x_NI (N, I); flat_P (P,) with the layer at `offset`; lengths_B (B,) int64,
             descending inside each shard; rows_S, tokens_S (S + 1,) int64 bounds of the shards; start_BK (B, H) the h_0 of
             each row, (0, H) for zeros.
    Writes   every element of cache; pre-activations are dropped where cache.a_NH has no rows.
    Errors: none (checked by rnn.network).
    """
    i_size, h_size = x_NI.shape[1], cache.h_NH.shape[1]
    params = simple_views(flat_P, offset, i_size, h_size)
    w_ih_p, w_hh_p, b_H = packed_transpose(params.w_ih_HI), packed_transpose(params.w_hh_HH), params.b_H
    a_NH, h_NH, begin_BH = cache  # a prange body cannot see into tuples
    for s in prange(rows_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        b0, b1 = rows_S[s], rows_S[s + 1]
        _shard_forward(
            a_NH[n0:n1], h_NH[n0:n1], begin_BH[b0:b1], x_NI[n0:n1], w_ih_p, w_hh_p, b_H, lengths_B[b0:b1],
            start_BK[b0:b1], relu,
        )  # fmt: skip


@kernel
def _shard_backward(dx_NI, dflat_P, dh_NH, a_NH, h_NH, begin_BH, x_NI, w_ih_p, w_hh_p, offset, lengths_B, relu):
    """One shard of simple_backward; dh_NH ends as da_NH. w_ih_p and w_hh_p are the weights, packed."""
    grads = simple_views(dflat_P, offset, x_NI.shape[1], dh_NH.shape[1])
    starts = step_bounds(lengths_B)
    before_CH = np.empty((chunk_room(lengths_B), dh_NH.shape[1]), dh_NH.dtype)
    done = dh_NH.shape[0]
    for t in range(starts.size - 2, -1, -1):
        start, end = starts[t], starts[t + 1]
        _times_derivative(dh_NH[start:end], a_NH[start:end], relu)
        if t > 0:
            add_packed_product(dh_NH[starts[t - 1] : starts[t - 1] + end - start], dh_NH[start:end], w_hh_p)
        if is_chunk(starts, t, done):
            da_CH, before = dh_NH[start:done], before_CH[: done - start]
            states_before(before, h_NH, begin_BH, starts, t, done)
            add_rows(grads.b_H, da_CH)
            add_product_of_transpose(grads.w_hh_HH, da_CH, before)
            add_product_of_transpose(grads.w_ih_HI, da_CH, x_NI[start:done])
            clear(dx_NI[start:done])
            add_packed_product(dx_NI[start:done], da_CH, w_ih_p)
            done = start


@parallel_kernel
def simple_backward(dx_NI, dflat_SP, dh_NH, cache, x_NI, flat_P, offset, lengths_B, rows_S, tokens_S, relu):
    """Back-propagate through every time step of a packed batch.

    Shapes   dx_NI (N, I) out; dflat_SP (S, P) gradients per shard, accumulated; dh_NH (N, H) in: dL/dh_t from above,
             overwritten by dL/da_t; the rest as simple_forward left it.
    Inverts  simple_forward, last step to first.
    """
    i_size, h_size = x_NI.shape[1], dh_NH.shape[1]
    params = simple_views(flat_P, offset, i_size, h_size)
    w_ih_p, w_hh_p = packed(params.w_ih_HI), packed(params.w_hh_HH)
    a_NH, h_NH, begin_BH = cache
    for s in prange(rows_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        b0, b1 = rows_S[s], rows_S[s + 1]
        _shard_backward(
            dx_NI[n0:n1], dflat_SP[s], dh_NH[n0:n1], a_NH[n0:n1], h_NH[n0:n1], begin_BH[b0:b1], x_NI[n0:n1], w_ih_p,
            w_hh_p, offset, lengths_B[b0:b1], relu,
        )  # fmt: skip
