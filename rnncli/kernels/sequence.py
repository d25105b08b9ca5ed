"""Packed batches: embedding look-up and its gradient, dropout, the last valid step.

Dimension key: N packed tokens, B rows, S shards, E embedding, H hidden, U distinct tokens of a batch, V vocabulary.

A packed batch holds real tokens only. Its rows are cut into shards of a fixed row count; a shard's tokens lie
time-major: step 1 of all its rows, step 2 of the rows still running, and so on.
"""

import numpy as np

from rnncli.kernels import scalar
from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.matmul import TURNED_BLOCK, add_packed_product

SMALL = 1 << 18  # numbers that one thread copies sooner than others wake up
ROWS = 64  # distinct tokens whose gradients one piece of work sums
CHUNK = TURNED_BLOCK  # tokens whose inputs are projected together, and whose gradients enter the weights' together
_counter_hash = scalar.counter_hash


@kernel
def pack(position_N, last_B, starts_B, lengths_B, rows_S, tokens_S):
    """Lay the rows of a batch out time-major, shard by shard.

    Shapes   position_N (N,) int64 out: where each packed token lies in the data set; last_B (B,) int64 out: packed index
             of each row's last token, -1 for a row without tokens; starts_B, lengths_B (B,) int64: first token and length
             of each row, lengths descending inside a shard; rows_S, tokens_S (S + 1,) shard bounds.
    """
    for s in range(rows_S.size - 1):
        b0, active = rows_S[s], rows_S[s + 1] - rows_S[s]
        n, t = tokens_S[s], 0
        while True:
            while active > 0 and lengths_B[b0 + active - 1] <= t:
                last_B[b0 + active - 1] = -1 if t == 0 else last_B[b0 + active - 1]
                active -= 1
            if active == 0:
                break
            for b in range(b0, b0 + active):
                position_N[n] = starts_B[b] + t
                last_B[b] = n
                n += 1
            t += 1


@kernel
def copy_row(out_E, x_E):
    """out = x. Written out because numba compiles a shape check with text formatting for `out[:] = x` (1 s)."""
    for j in range(x_E.size):
        out_E[j] = x_E[j]


@kernel
def clear(x_NE):
    """Every element 0."""
    x = x_NE.reshape(x_NE.size)
    for j in range(x.size):
        x[j] = 0


@kernel
def begin_columns(h_BH, start_BK, first):
    """h = columns first .. first + H of start, or zeros where it has no rows."""
    if start_BK.shape[0] == 0:
        clear(h_BH)
        return
    for b in range(h_BH.shape[0]):
        for j in range(h_BH.shape[1]):
            h_BH[b, j] = start_BK[b, first + j]


@kernel
def add_rows(sum_E, x_NE):
    """sum += the rows of x, one after the other."""
    for n in range(x_NE.shape[0]):
        for j in range(sum_E.size):
            sum_E[j] += x_NE[n, j]


@kernel
def step_bounds(lengths_B):
    """Where each step of a shard begins among its tokens, (T + 1,); lengths_B (B,) int64, descending.

    The rows of step t are the first starts[t + 1] - starts[t] ones of the step before.
    """
    steps = lengths_B[0] if lengths_B.size > 0 else 0
    starts = np.zeros(steps + 1, np.int64)
    active = lengths_B.size
    for t in range(steps):
        while lengths_B[active - 1] <= t:
            active -= 1
        starts[t + 1] = starts[t] + active
    return starts


@kernel
def chunk_room(lengths_B):
    """Tokens that a chunk of a shard's steps can have."""
    return max(CHUNK, lengths_B.size)


@kernel
def chunk_end(starts, t):
    """Where a chunk of steps ends that begins with step t: CHUNK tokens or just below, one step at least.

    What a chunk's products write is still in cache when its recurrence reads it, and the other way round.
    """
    last = t + 1
    while last + 1 < starts.size and starts[last + 1] - starts[t] <= CHUNK:
        last += 1
    return starts[last]


@kernel
def is_chunk(starts, t, end):
    """Whether steps from t to token `end` make a chunk: step t is the first, or one more would be too many tokens."""
    return t == 0 or end - starts[t - 1] > CHUNK


@kernel
def states_before(before_NH, h_NH, begin_BH, starts, t, end):
    """h_{t-1} of the tokens from step t on to token `end`, before_NH (end - starts[t], H)."""
    first = starts[t]
    while starts[t] < end:
        for row in range(starts[t + 1] - starts[t]):  # the rows still running are the first ones of the step before
            copy_row(before_NH[starts[t] - first + row], h_NH[starts[t - 1] + row] if t > 0 else begin_BH[row])
        t += 1


@kernel
def project(a_NG, x_NI, w_ih_p, b_G):
    """a = W_ih x + b; w_ih_p is the packed transpose."""
    for n in range(x_NI.shape[0]):
        copy_row(a_NG[n], b_G)
    add_packed_product(a_NG, x_NI, w_ih_p)


@kernel
def _drop_row(x_E, threshold, scale, key, row):
    """Zero the units whose draw falls below `threshold` (a share of 2^64) and scale the others (inverted dropout)."""
    first = row * x_E.size
    for j in range(x_E.size):
        kept = _counter_hash(key, first + j) >= threshold
        x_E[j] = x_E[j] * scale if kept else x_E.dtype.type(0)


@parallel_kernel
def dropout(x_NE, threshold, scale, key, shards):
    """Inverted dropout (Srivastava et al. 2014) in place; the same call on the gradient is its own backward pass.

    Shapes   x_NE (N, E) in and out; threshold, key uint64; scale 1 / (1 - rate) in x's dtype.
    The mask is a function of (key, row, unit) alone.
    """
    n = x_NE.shape[0]
    for s in prange(shards):
        for row in range(n * s // shards, n * (s + 1) // shards):
            _drop_row(x_NE[row], threshold, scale, key, row)


@kernel
def _gather(x_NE, embedding_VE, ids_N, n0, n1):
    for n in range(n0, n1):
        copy_row(x_NE[n], embedding_VE[ids_N[n]])


@parallel_kernel
def gather(x_NE, embedding_VE, ids_N, shards):
    """x_NE[n] = embedding_VE[ids_N[n]]."""
    n = ids_N.size
    if x_NE.size <= SMALL:
        _gather(x_NE, embedding_VE, ids_N, 0, n)
    else:
        for s in prange(shards):
            _gather(x_NE, embedding_VE, ids_N, n * s // shards, n * (s + 1) // shards)


@kernel
def _sum_rows(demb_UE, dx_NE, order_N, starts_U, u0, u1):
    for u in range(u0, u1):
        out, x = demb_UE[u], dx_NE[order_N[starts_U[u]]]
        for j in range(out.size):
            out[j] = x[j]
        for i in range(starts_U[u] + 1, starts_U[u + 1]):
            x = dx_NE[order_N[i]]
            for j in range(out.size):
                out[j] += x[j]


@parallel_kernel
def scatter_add(demb_UE, dx_NE, order_N, starts_U):
    """Gradient of gather for the distinct tokens of a batch, each summed in packed order.

    Shapes   demb_UE (U, E) out; dx_NE (N, E); order_N (N,) int64: packed tokens sorted by
             id, stable; starts_U (U + 1,).
    """
    n = starts_U.size - 1
    if dx_NE.size <= SMALL:
        _sum_rows(demb_UE, dx_NE, order_N, starts_U, 0, n)
    else:
        for c in prange((n + ROWS - 1) // ROWS):
            _sum_rows(demb_UE, dx_NE, order_N, starts_U, c * ROWS, min(n, (c + 1) * ROWS))


@kernel
def reverse_order(reverse_N, lengths_B, rows_S, tokens_S):
    """For each packed token the one that stands as far from the end of its row as it does from the beginning.

    Shapes   reverse_N (N,) int64 out, its own inverse; lengths_B (B,), rows_S, tokens_S (S + 1,) as in `pack`.
    """
    for s in range(rows_S.size - 1):
        lengths = lengths_B[rows_S[s] : rows_S[s + 1]]
        starts = step_bounds(lengths)
        for t in range(starts.size - 1):
            for row in range(starts[t + 1] - starts[t]):
                reverse_N[tokens_S[s] + starts[t] + row] = tokens_S[s] + starts[lengths[row] - 1 - t] + row


@parallel_kernel
def take_columns(out_NH, x_NO, first, order_N):
    """out[n] = x[order[n], first : first + H]."""
    pieces = 16
    n = order_N.size
    for s in prange(pieces):
        for row in range(n * s // pieces, n * (s + 1) // pieces):
            copy_row(out_NH[row], x_NO[order_N[row], first : first + out_NH.shape[1]])


@parallel_kernel
def put_columns(out_NO, x_NH, first, order_N):
    """out[n, first : first + H] = x[order[n]]."""
    pieces = 16
    n = order_N.size
    for s in prange(pieces):
        for row in range(n * s // pieces, n * (s + 1) // pieces):
            copy_row(out_NO[row, first : first + x_NH.shape[1]], x_NH[order_N[row]])


@parallel_kernel
def add_turned(out_NI, x_NI, order_N):
    """out[n] += x[order[n]]."""
    pieces = 16
    n = order_N.size
    for s in prange(pieces):
        for row in range(n * s // pieces, n * (s + 1) // pieces):
            for j in range(out_NI.shape[1]):
                out_NI[row, j] += x_NI[order_N[row], j]
