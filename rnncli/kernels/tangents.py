"""Tangent vectors carried forward along the data with QR at each step: Lyapunov exponents of a driven network, float64.

Dimension key: N tokens of all rows, R rows, n state size, K vectors, G gates x H.

    A_t Q_{t-1} = Q_t R_t,   lambda_i = mean of log R_ii
(Benettin et al. 1980; Engelken, Wolf & Abbott 2023 for driven recurrent networks.) The state of an LSTM is (h, c): with c
held fixed the path along the cell would be lost.
"""

import math

import numpy as np

from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.adjoints import GRU_AFTER, LSTM, SIMPLE
from rnncli.kernels.matmul import add_product


@kernel
def _dot(a, b):
    """a . b in eight running sums: a fixed order that vectorises."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    i, n = 0, a.size
    while i + 8 <= n:
        s0 += a[i] * b[i]
        s1 += a[i + 1] * b[i + 1]
        s2 += a[i + 2] * b[i + 2]
        s3 += a[i + 3] * b[i + 3]
        s4 += a[i + 4] * b[i + 4]
        s5 += a[i + 5] * b[i + 5]
        s6 += a[i + 6] * b[i + 6]
        s7 += a[i + 7] * b[i + 7]
        i += 8
    while i < n:
        s0 += a[i] * b[i]
        i += 1
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@kernel
def orthonormalise(q_Kn, log_r_K):
    """Rows of q_Kn become orthonormal (modified Gram-Schmidt, twice for accuracy); log_r_K the logs of the diagonal of R."""
    for k in range(q_Kn.shape[0]):
        row = q_Kn[k]
        for _ in range(2):
            for earlier in range(k):
                other = q_Kn[earlier]
                along = _dot(row, other)
                for j in range(row.size):
                    row[j] -= along * other[j]
        norm = math.sqrt(_dot(row, row))
        log_r_K[k] = math.log(norm) if norm > 0 else -np.inf
        if norm > 0:
            for j in range(row.size):
                row[j] /= norm


@kernel
def apply_jacobian(out_Kn, q_Kn, form, alpha_G, beta_G, mix_H, keep_H, reset_H, gate_H, w_t_HG):
    """out = A q for each row of q; w_t_HG is W_hh transposed."""
    size = w_t_HG.shape[0]
    count = q_Kn.shape[0]
    u = np.zeros((count, w_t_HG.shape[1]))
    add_product(u, np.ascontiguousarray(q_Kn[:, :size]), w_t_HG)
    if form == SIMPLE:
        for k in range(count):
            for j in range(size):
                out_Kn[k, j] = alpha_G[j] * u[k, j]
    elif form == LSTM:
        for k in range(count):
            for j in range(size):
                dc = keep_H[j] * q_Kn[k, size + j] + beta_G[j] * u[k, j]
                dc += beta_G[size + j] * u[k, size + j] + beta_G[2 * size + j] * u[k, 2 * size + j]
                out_Kn[k, size + j] = dc
                out_Kn[k, j] = alpha_G[3 * size + j] * u[k, 3 * size + j] + mix_H[j] * dc
    elif form == GRU_AFTER:
        for k in range(count):
            for j in range(size):
                through = alpha_G[j] * u[k, j] + alpha_G[size + j] * u[k, size + j]
                out_Kn[k, j] = (
                    keep_H[j] * q_Kn[k, j] + through + alpha_G[2 * size + j] * reset_H[j] * u[k, 2 * size + j]
                )
    else:
        inner, back = np.empty((count, size)), np.zeros((count, size))
        for k in range(count):
            for j in range(size):
                inner[k, j] = reset_H[j] * q_Kn[k, j] + gate_H[j] * u[k, j]
        add_product(back, inner, np.ascontiguousarray(w_t_HG[:, 2 * size :]))
        for k in range(count):
            for j in range(size):
                through = alpha_G[size + j] * u[k, size + j] + alpha_G[2 * size + j] * back[k, j]
                out_Kn[k, j] = keep_H[j] * q_Kn[k, j] + through


@parallel_kernel
def lyapunov(log_r_NK, begin_Kn, form, alpha_NG, beta_NG, mix_NH, keep_NH, reset_NH, gate_NH, w_hh_GH, offsets):
    """log R_ii at every step of every row, each row from the orthonormal rows of begin_Kn.

    Shapes   log_r_NK (N, K) out; begin_Kn (K, n); the local derivatives as in kernels/adjoints.py; offsets (R + 1,).
    """
    w_t_HG = np.ascontiguousarray(w_hh_GH.T)
    for r in prange(offsets.size - 1):
        q, moved = begin_Kn.copy(), np.empty_like(begin_Kn)
        for n in range(offsets[r], offsets[r + 1]):
            apply_jacobian(
                moved, q, form, alpha_NG[n], beta_NG[n], mix_NH[n], keep_NH[n], reset_NH[n], gate_NH[n], w_t_HG
            )  # fmt: skip
            for k in range(q.shape[0]):
                for j in range(q.shape[1]):
                    q[k, j] = moved[k, j]
            orthonormalise(q, log_r_NK[n])
