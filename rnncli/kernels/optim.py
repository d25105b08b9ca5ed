"""Update rules on flat vectors and on the touched rows of an embedding; global norm; ordered shard sums.

Dimension key: P parameters, S shards, U touched rows, E embedding, V vocabulary.

Vectors are cut into chunks of a fixed length, so that sums have one order at any thread count.
Sources: momentum, Polyak 1964; Adam, Kingma & Ba 2015, algorithm 1 with the bias corrections folded into the step size
and epsilon (their section 2, last paragraph); clipping by global norm, Pascanu, Mikolov & Bengio 2013, algorithm 1.
"""

import math

import numpy as np

from rnncli.kernels._jit import kernel, parallel_kernel, prange

CHUNK = 4096


@kernel
def _sum_chunk(out_P, parts_SP, i0, i1):
    for i in range(i0, i1):
        out_P[i] = parts_SP[0, i]
    for s in range(1, parts_SP.shape[0]):
        part = parts_SP[s]
        for i in range(i0, i1):
            out_P[i] += part[i]


@parallel_kernel
def sum_shards(out_P, parts_SP):
    """out_P = sum over shards of parts_SP, in shard order."""
    n = out_P.size
    for c in prange((n + CHUNK - 1) // CHUNK):
        _sum_chunk(out_P, parts_SP, c * CHUNK, min(n, (c + 1) * CHUNK))


@kernel
def _square(x):
    wide = np.float64(x)  # numba's float(x) would stay float32
    return wide * wide


@kernel
def _square_sum(x_P, i0, i1):
    # Eight running sums in float64: a fixed order that still vectorises.
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    i = i0
    while i + 8 <= i1:
        s0 += _square(x_P[i])
        s1 += _square(x_P[i + 1])
        s2 += _square(x_P[i + 2])
        s3 += _square(x_P[i + 3])
        s4 += _square(x_P[i + 4])
        s5 += _square(x_P[i + 5])
        s6 += _square(x_P[i + 6])
        s7 += _square(x_P[i + 7])
        i += 8
    while i < i1:
        s0 += _square(x_P[i])
        i += 1
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@parallel_kernel
def square_sums(out_c, x_P):
    """Sum of squares of each chunk of x_P, float64; out_c (ceil(P / CHUNK),)."""
    n = x_P.size
    for c in prange(out_c.size):
        out_c[c] = _square_sum(x_P, c * CHUNK, min(n, (c + 1) * CHUNK))


@kernel
def _sgd_chunk(p, velocity, g, lr, momentum, decay, scale, i0, i1):
    for i in range(i0, i1):
        velocity[i] = momentum * velocity[i] + (scale * g[i] + decay * p[i])
        p[i] -= lr * velocity[i]


@parallel_kernel
def sgd_step(p_P, velocity_P, g_P, lr, momentum, decay, scale):
    """v = momentum v + (scale g + decay p); p -= lr v. Scalars in p's dtype; `scale` is the clipping factor."""
    n = p_P.size
    for c in prange((n + CHUNK - 1) // CHUNK):
        _sgd_chunk(p_P, velocity_P, g_P, lr, momentum, decay, scale, c * CHUNK, min(n, (c + 1) * CHUNK))


@kernel
def _adam_chunk(p, m, v, g, step, beta1, beta2, epsilon, decay, scale, i0, i1):
    one = p.dtype.type(1)
    for i in range(i0, i1):
        d = scale * g[i] + decay * p[i]
        m[i] = beta1 * m[i] + (one - beta1) * d
        v[i] = beta2 * v[i] + (one - beta2) * d * d
        p[i] -= step * m[i] / (math.sqrt(v[i]) + epsilon)


@parallel_kernel
def adam_step(p_P, m_P, v_P, g_P, step, beta1, beta2, epsilon, decay, scale):
    """Adam with step = lr sqrt(1 - beta2^t) / (1 - beta1^t) and epsilon = eps sqrt(1 - beta2^t), in p's dtype."""
    n = p_P.size
    for c in prange((n + CHUNK - 1) // CHUNK):
        _adam_chunk(p_P, m_P, v_P, g_P, step, beta1, beta2, epsilon, decay, scale, c * CHUNK, min(n, (c + 1) * CHUNK))


@parallel_kernel
def sgd_rows(p_VE, velocity_VE, g_UE, rows_U, lr, momentum, scale):
    """sgd_step on the touched rows only; with momentum, an untouched row's velocity waits."""
    zero = p_VE.dtype.type(0)
    for u in prange(rows_U.size):
        row = rows_U[u]
        _sgd_chunk(p_VE[row], velocity_VE[row], g_UE[u], lr, momentum, zero, scale, 0, p_VE.shape[1])


@parallel_kernel
def adam_rows(p_VE, m_VE, v_VE, g_UE, rows_U, step, beta1, beta2, epsilon, scale):
    """adam_step on the touched rows only; an untouched row's moments wait (as torch.optim.SparseAdam)."""
    zero = p_VE.dtype.type(0)
    for u in prange(rows_U.size):
        row = rows_U[u]
        _adam_chunk(
            p_VE[row], m_VE[row], v_VE[row], g_UE[u], step, beta1, beta2, epsilon, zero, scale, 0, p_VE.shape[1]
        )
