"""Softmax cross-entropy over a whole vocabulary at every token, forward and backward.

Dimension key: N tokens, V words, O width of the states, K tiles of TILE words, G groups of tiles.

    z_nv = h_n . w_v + b_v,   L_n = log sum_v exp(z_nv) - z_{n,y_n},   dL_n/dz_nv = p_nv - [v = y_n]
    dw_v = sum_n dz_nv h_n,   dh_n = sum_v dz_nv w_v

The vocabulary is cut into tiles; a tile's logits for all tokens lie together, so that each product is large and each
tile owns its rows of the weight's gradient. Tiles work in GROUPS groups, fixed in number, whose parts of dh are added
in their order: the threads do not show. A tile keeps exp(z - its own maximum), which the backward pass only scales.
"""

import numpy as np

from rnncli.kernels import scalar
from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.matmul import add_product, add_product_of_transpose
from rnncli.kernels.sequence import clear, copy_row

_exp = scalar.exp
TILE = 512  # words
ROWS = 128  # tokens of a tile at a time: their logits stay in cache from the product to the last pass over them
GROUPS = 16
LANES = 16  # running sums of a row: one order that still vectorises


@kernel
def _transposed(w_t_OV, w_VO):
    """w_t = w^T, in blocks that stay in cache."""
    for v0 in range(0, w_VO.shape[0], 16):
        v1 = min(w_VO.shape[0], v0 + 16)
        for o in range(w_VO.shape[1]):
            for v in range(v0, v1):
                w_t_OV[o, v] = w_VO[v, o]


@kernel
def _exponentials(e_NV, top_N, sum_N):
    """e <- exp(e - top) row by row, with each row's maximum and sum."""
    width = e_NV.shape[1]
    whole = width - width % LANES
    running = np.empty(LANES, e_NV.dtype)
    for n in range(e_NV.shape[0]):
        row = e_NV[n]
        for lane in range(LANES):
            running[lane] = row[min(lane, width - 1)]
        for v in range(0, whole, LANES):
            for lane in range(LANES):
                running[lane] = max(running[lane], row[v + lane])
        top = row[width - 1]
        for v in range(whole, width):
            top = max(top, row[v])
        for lane in range(LANES):
            top = max(top, running[lane])
        for v in range(width):
            row[v] = _exp(row[v] - top)
        for lane in range(LANES):
            running[lane] = 0
        for v in range(0, whole, LANES):
            for lane in range(LANES):
                running[lane] += row[v + lane]
        total = 0.0
        for lane in range(LANES):
            total += running[lane]
        for v in range(whole, width):
            total += row[v]
        top_N[n] = top
        sum_N[n] = total


@parallel_kernel
def wide_forward(e_flat, top_KN, sum_KN, target_N, h_NO, w_VO, b_V, y_N):
    """Exponentials of all logits, tile by tile, and what the losses need.

    Shapes   e_flat (N V,) out: tile k is (N, width) from N TILE k on; top_KN, sum_KN (K, N) out: each tile's maximum
             logit and the sum of exp(z - maximum), float64; target_N (N,) out: z of the label; h_NO (N, O);
             w_VO (V, O); b_V (V,); y_N (N,) int32.
    """
    n_size, v_size = h_NO.shape[0], w_VO.shape[0]
    for k in prange(top_KN.shape[0]):
        v0, v1 = k * TILE, min(v_size, (k + 1) * TILE)
        e_NV = e_flat[n_size * v0 : n_size * v1].reshape((n_size, v1 - v0))
        w_t_OV = np.empty((w_VO.shape[1], v1 - v0), w_VO.dtype)
        _transposed(w_t_OV, w_VO[v0:v1])
        for n0 in range(0, n_size, ROWS):
            n1 = min(n_size, n0 + ROWS)
            for n in range(n0, n1):
                copy_row(e_NV[n], b_V[v0:v1])
            add_product(e_NV[n0:n1], h_NO[n0:n1], w_t_OV)
            for n in range(n0, n1):
                if v0 <= y_N[n] < v1:
                    target_N[n] = e_NV[n, y_N[n] - v0]
            _exponentials(e_NV[n0:n1], top_KN[k, n0:n1], sum_KN[k, n0:n1])


@parallel_kernel
def wide_backward(dh_GNO, dw_VO, db_V, e_flat, top_KN, log_z_N, scale_N, smoothing, h_NO, w_VO, y_N):
    """Gradients from what wide_forward left; e_flat ends as dL/dz.

    Shapes   dh_GNO (GROUPS, N, O) out: parts of dh, to be added in order; dw_VO (V, O), db_V (V,) out; log_z_N (N,)
             float64: log of the sum of all exponentials; scale_N (N,): the share of each token's loss; smoothing: share
             of a target that is spread over all words; the rest as wide_forward.
    """
    n_size, v_size = h_NO.shape[0], w_VO.shape[0]
    tiles = top_KN.shape[0]
    other = smoothing / w_VO.dtype.type(v_size)
    for g in prange(dh_GNO.shape[0]):
        clear(dh_GNO[g])
        for k in range(g, tiles, dh_GNO.shape[0]):
            v0, v1 = k * TILE, min(v_size, (k + 1) * TILE)
            d_NV = e_flat[n_size * v0 : n_size * v1].reshape((n_size, v1 - v0))
            db = db_V[v0:v1]
            for v in range(db.size):
                db[v] = 0
            clear(dw_VO[v0:v1])
            for n0 in range(0, n_size, ROWS):
                n1 = min(n_size, n0 + ROWS)
                for n in range(n0, n1):
                    row = d_NV[n]
                    factor = w_VO.dtype.type(np.exp(top_KN[k, n] - log_z_N[n]))
                    for v in range(row.size):
                        row[v] = scale_N[n] * (row[v] * factor - other)
                    if v0 <= y_N[n] < v1:
                        row[y_N[n] - v0] -= scale_N[n] * (1 - smoothing)
                    for v in range(row.size):
                        db[v] += row[v]
                add_product(dh_GNO[g, n0:n1], d_NV[n0:n1], w_VO[v0:v1])
                add_product_of_transpose(dw_VO[v0:v1], d_NV[n0:n1], h_NO[n0:n1])


@parallel_kernel
def add_groups(dh_NO, dh_GNO):
    """dh = sum over groups, in order."""
    for n in prange(dh_NO.shape[0]):
        copy_row(dh_NO[n], dh_GNO[0, n])
        for g in range(1, dh_GNO.shape[0]):
            for o in range(dh_NO.shape[1]):
                dh_NO[n, o] += dh_GNO[g, n, o]
