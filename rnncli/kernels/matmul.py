"""Matrix products on rows: the only place where one is written.

Dimension key: M rows of the result, K summed axis, N columns of the result.

Every product adds to its result, C += A B, by updating four rows of C with four rows of B at a time; the loop over
columns is contiguous and vectorises. Each element of C is summed over k in ascending order, one fused
multiply-add at a time, however many rows the call has: a row's result never depends on its neighbours.
The k axis is cut into blocks so that the block of B stays in cache while all rows of C pass over it.
"""

from rnncli.kernels._jit import kernel

K_BLOCK = 64  # rows of B kept in cache: 64 x 512 float32 are 128 KiB


@kernel
def _rows4(c_MN, i, a_MK, b_KN, k0, k1):
    """Rows i .. i+3 of C += A[:, k0:k1] B[k0:k1]."""
    c0, c1, c2, c3 = c_MN[i], c_MN[i + 1], c_MN[i + 2], c_MN[i + 3]
    n = c_MN.shape[1]
    k = k0
    while k + 4 <= k1:
        b0, b1, b2, b3 = b_KN[k], b_KN[k + 1], b_KN[k + 2], b_KN[k + 3]
        a00, a01, a02, a03 = a_MK[i, k], a_MK[i, k + 1], a_MK[i, k + 2], a_MK[i, k + 3]
        a10, a11, a12, a13 = a_MK[i + 1, k], a_MK[i + 1, k + 1], a_MK[i + 1, k + 2], a_MK[i + 1, k + 3]
        a20, a21, a22, a23 = a_MK[i + 2, k], a_MK[i + 2, k + 1], a_MK[i + 2, k + 2], a_MK[i + 2, k + 3]
        a30, a31, a32, a33 = a_MK[i + 3, k], a_MK[i + 3, k + 1], a_MK[i + 3, k + 2], a_MK[i + 3, k + 3]
        for j in range(n):
            x0, x1, x2, x3 = b0[j], b1[j], b2[j], b3[j]
            c0[j] = c0[j] + a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
            c1[j] = c1[j] + a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
            c2[j] = c2[j] + a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
            c3[j] = c3[j] + a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3
        k += 4
    while k < k1:
        b0 = b_KN[k]
        a00, a10, a20, a30 = a_MK[i, k], a_MK[i + 1, k], a_MK[i + 2, k], a_MK[i + 3, k]
        for j in range(n):
            x0 = b0[j]
            c0[j] = c0[j] + a00 * x0
            c1[j] = c1[j] + a10 * x0
            c2[j] = c2[j] + a20 * x0
            c3[j] = c3[j] + a30 * x0
        k += 1


@kernel
def _rows1(c_MN, i, a_MK, b_KN, k0, k1):
    """Row i of C += A[:, k0:k1] B[k0:k1], with the same order of sums as _rows4."""
    c0 = c_MN[i]
    n = c_MN.shape[1]
    k = k0
    while k + 4 <= k1:
        b0, b1, b2, b3 = b_KN[k], b_KN[k + 1], b_KN[k + 2], b_KN[k + 3]
        a00, a01, a02, a03 = a_MK[i, k], a_MK[i, k + 1], a_MK[i, k + 2], a_MK[i, k + 3]
        for j in range(n):
            c0[j] = c0[j] + a00 * b0[j] + a01 * b1[j] + a02 * b2[j] + a03 * b3[j]
        k += 4
    while k < k1:
        b0, a00 = b_KN[k], a_MK[i, k]
        for j in range(n):
            c0[j] = c0[j] + a00 * b0[j]
        k += 1


@kernel
def add_product(c_MN, a_MK, b_KN):
    """C += A B for C-contiguous C (M, N), B (K, N) and any A (M, K), also a transposed view; C overlaps neither."""
    m, k_total = a_MK.shape
    for k0 in range(0, k_total, K_BLOCK):
        k1 = min(k0 + K_BLOCK, k_total)
        # Ranges, because numba would compile `i = 0; while ...` once more for the literal 0.
        for i in range(0, m - 3, 4):
            _rows4(c_MN, i, a_MK, b_KN, k0, k1)
        for i in range(m - m % 4, m):
            _rows1(c_MN, i, a_MK, b_KN, k0, k1)
