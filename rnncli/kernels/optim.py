"""Update rules on flat vectors and on the touched rows of an embedding; global norm; ordered shard sums.

Dimension key: P parameters, S shards, U touched rows, E embedding, V vocabulary.

Vectors are cut into chunks of a fixed length, so that sums have one order at any thread count. Adam is Kingma & Ba 2015,
algorithm 1 with the bias corrections folded into the step size and epsilon (their section 2, last paragraph); clipping by
global norm, Pascanu, Mikolov & Bengio 2013, algorithm 1.
"""

import numpy as np

from rnncli.kernels._jit import kernel, parallel_kernel, prange

CHUNK = 4096
ROWS = 64  # of a table that are updated together
SMALL = 1 << 18  # numbers that one thread has done sooner than others wake up


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
    if parts_SP.size <= SMALL:
        _sum_chunk(out_P, parts_SP, 0, n)
    else:
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
    if n <= SMALL:
        for c in range(out_c.size):
            out_c[c] = _square_sum(x_P, c * CHUNK, min(n, (c + 1) * CHUNK))
    else:
        for c in prange(out_c.size):
            out_c[c] = _square_sum(x_P, c * CHUNK, min(n, (c + 1) * CHUNK))


SGD, ADAGRAD, RMSPROP, ADAM = range(4)
RATE, DECAY, SHRINK, SCALE, MOMENTUM, BETA_1, BETA_2, EPSILON = range(8)  # places of the constants k


@kernel
def _update(rule, p, m, v, g, k, decay, shrink):
    """One rule on p; see `update`.

    np.sqrt, because loops with math.sqrt do not vectorise.
    """
    rate, scale, momentum, epsilon = k[RATE], k[SCALE], k[MOMENTUM], k[EPSILON]
    beta1, beta2 = k[BETA_1], k[BETA_2]
    one = p.dtype.type(1)
    if rule == SGD:
        for i in range(p.size):
            m[i] = momentum * m[i] + (scale * g[i] + decay * p[i])
            p[i] -= rate * m[i]
    elif rule == ADAGRAD:
        for i in range(p.size):
            d = scale * g[i] + decay * p[i]
            v[i] += d * d
            p[i] -= rate * d / (np.sqrt(v[i]) + epsilon)
    elif rule == RMSPROP:
        for i in range(p.size):
            d = scale * g[i] + decay * p[i]
            v[i] = beta2 * v[i] + (one - beta2) * d * d
            m[i] = momentum * m[i] + d / (np.sqrt(v[i]) + epsilon)
            p[i] -= rate * m[i]
    else:
        for i in range(p.size):
            d = scale * g[i] + decay * p[i]
            m[i] = beta1 * m[i] + (one - beta1) * d
            v[i] = beta2 * v[i] + (one - beta2) * d * d
            p[i] -= shrink * p[i] + rate * m[i] / (np.sqrt(v[i]) + epsilon)


@parallel_kernel
def update(rule, p_P, m_P, v_P, g_P, k):
    """One step of all parameters; d = scale g + decay p, `scale` the clipping factor.

    SGD       m = momentum m + d;  p -= rate m                                        (Polyak 1964)
    ADAGRAD   v += d^2;  p -= rate d / (sqrt(v) + eps)                                (Duchi, Hazan & Singer 2011)
    RMSPROP   v = beta2 v + (1 - beta2) d^2;  m = momentum m + d / (sqrt(v) + eps);  p -= rate m   (Tieleman & Hinton 2012)
    ADAM      m, v running means of d, d^2;  p -= shrink p + rate m / (sqrt(v) + eps),  with
              rate = lr sqrt(1 - beta2^t) / (1 - beta1^t) and eps sqrt(1 - beta2^t); AdamW (Loshchilov & Hutter 2019)
              shrinks by lr decay and has no decay in d
    Shapes   p_P, g_P (P,); m_P, v_P (P,), empty where the rule has none; k (8,) constants in p's dtype.
    """
    n = p_P.size
    if n <= SMALL:
        _update(rule, p_P, m_P, v_P, g_P, k, k[DECAY], k[SHRINK])
    else:
        for c in prange((n + CHUNK - 1) // CHUNK):
            i0, i1 = c * CHUNK, min(n, (c + 1) * CHUNK)
            _update(rule, p_P[i0:i1], m_P[i0:i1], v_P[i0:i1], g_P[i0:i1], k, k[DECAY], k[SHRINK])


@kernel
def _update_rows(rule, p_VE, m_VE, v_VE, g_UE, rows_U, k, u0, u1):
    none = p_VE.dtype.type(0)
    for u in range(u0, u1):
        row = rows_U[u]
        m = m_VE[row] if m_VE.shape[0] > 0 else m_VE.reshape(-1)
        v = v_VE[row] if v_VE.shape[0] > 0 else v_VE.reshape(-1)
        _update(rule, p_VE[row], m, v, g_UE[u], k, none, none)


@parallel_kernel
def update_rows(rule, p_VE, m_VE, v_VE, g_UE, rows_U, k):
    """The same on the touched rows only, without decay; an untouched row's moments wait (as torch.optim.SparseAdam)."""
    n = rows_U.size
    if g_UE.size <= SMALL // 4:
        _update_rows(rule, p_VE, m_VE, v_VE, g_UE, rows_U, k, 0, n)
    else:
        for c in prange((n + ROWS - 1) // ROWS):
            _update_rows(rule, p_VE, m_VE, v_VE, g_UE, rows_U, k, c * ROWS, min(n, (c + 1) * ROWS))


@parallel_kernel
def clip_values(g_P, limit):
    """Every element into [-limit, limit]."""
    n = g_P.size
    for c in prange((n + CHUNK - 1) // CHUNK):
        for i in range(c * CHUNK, min(n, (c + 1) * CHUNK)):
            g_P[i] = min(max(g_P[i], -limit), limit)
