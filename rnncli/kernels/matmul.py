"""Matrix products on rows: the only place where one is written.

Dimension key: M rows of the result, K summed axis, N columns of the result.

Every product adds to its result, C += A B. In float32 a tile of C, four rows by 64 columns (16 where the machine has
fewer registers), stays in registers while k runs, and each step multiplies four numbers of A with one row of B; other
precisions take plain loops. Each element of C is summed over k in ascending order, one fused multiply-add at a time,
whatever the tile: a row's result never depends on how many rows share the call.
"""

from rnncli.kernels._jit import HAS_WIDE_REGISTERS, by_element_type, kernel
from rnncli.kernels.lanes import WIDTH, fma, load, load_first, splat, store, store_first

K_BLOCK = 128  # steps of k that run before the next tile, so that what A and B hold of them stays in cache
WIDE = 4 * WIDTH if HAS_WIDE_REGISTERS else 0  # columns of a wide tile, 0 for none


@kernel
def _tile_4_wide(c, a, b, at_c, row_c, at_a, row_a, k_a, at_b, row_b, k_total):
    """Four rows by 64 columns; `at_` first elements, `row_` and `k_` distances between rows and between steps of k."""
    c1, c2, c3 = at_c + row_c, at_c + 2 * row_c, at_c + 3 * row_c
    x00, x01, x02, x03 = load(c, at_c), load(c, at_c + 16), load(c, at_c + 32), load(c, at_c + 48)
    x10, x11, x12, x13 = load(c, c1), load(c, c1 + 16), load(c, c1 + 32), load(c, c1 + 48)
    x20, x21, x22, x23 = load(c, c2), load(c, c2 + 16), load(c, c2 + 32), load(c, c2 + 48)
    x30, x31, x32, x33 = load(c, c3), load(c, c3 + 16), load(c, c3 + 32), load(c, c3 + 48)
    for _ in range(k_total):
        y0, y1, y2, y3 = load(b, at_b), load(b, at_b + 16), load(b, at_b + 32), load(b, at_b + 48)
        s = splat(a[at_a])
        x00, x01, x02, x03 = fma(s, y0, x00), fma(s, y1, x01), fma(s, y2, x02), fma(s, y3, x03)
        s = splat(a[at_a + row_a])
        x10, x11, x12, x13 = fma(s, y0, x10), fma(s, y1, x11), fma(s, y2, x12), fma(s, y3, x13)
        s = splat(a[at_a + 2 * row_a])
        x20, x21, x22, x23 = fma(s, y0, x20), fma(s, y1, x21), fma(s, y2, x22), fma(s, y3, x23)
        s = splat(a[at_a + 3 * row_a])
        x30, x31, x32, x33 = fma(s, y0, x30), fma(s, y1, x31), fma(s, y2, x32), fma(s, y3, x33)
        at_a += k_a
        at_b += row_b
    store(c, at_c, x00), store(c, at_c + 16, x01), store(c, at_c + 32, x02), store(c, at_c + 48, x03)
    store(c, c1, x10), store(c, c1 + 16, x11), store(c, c1 + 32, x12), store(c, c1 + 48, x13)
    store(c, c2, x20), store(c, c2 + 16, x21), store(c, c2 + 32, x22), store(c, c2 + 48, x23)
    store(c, c3, x30), store(c, c3 + 16, x31), store(c, c3 + 32, x32), store(c, c3 + 48, x33)


@kernel
def _tile_1_wide(c, a, b, at_c, at_a, k_a, at_b, row_b, k_total):
    """One row by 64 columns."""
    x0, x1, x2, x3 = load(c, at_c), load(c, at_c + 16), load(c, at_c + 32), load(c, at_c + 48)
    for _ in range(k_total):
        s = splat(a[at_a])
        x0, x1 = fma(s, load(b, at_b), x0), fma(s, load(b, at_b + 16), x1)
        x2, x3 = fma(s, load(b, at_b + 32), x2), fma(s, load(b, at_b + 48), x3)
        at_a += k_a
        at_b += row_b
    store(c, at_c, x0), store(c, at_c + 16, x1), store(c, at_c + 32, x2), store(c, at_c + 48, x3)


@kernel
def _tile_4(c, a, b, at_c, row_c, at_a, row_a, k_a, at_b, row_b, k_total, n):
    """Four rows by n columns, n at most 16."""
    c1, c2, c3 = at_c + row_c, at_c + 2 * row_c, at_c + 3 * row_c
    x0, x1, x2, x3 = load_first(c, at_c, n), load_first(c, c1, n), load_first(c, c2, n), load_first(c, c3, n)
    for _ in range(k_total):
        y = load_first(b, at_b, n)
        x0, x1 = fma(splat(a[at_a]), y, x0), fma(splat(a[at_a + row_a]), y, x1)
        x2, x3 = fma(splat(a[at_a + 2 * row_a]), y, x2), fma(splat(a[at_a + 3 * row_a]), y, x3)
        at_a += k_a
        at_b += row_b
    store_first(c, at_c, n, x0), store_first(c, c1, n, x1), store_first(c, c2, n, x2), store_first(c, c3, n, x3)


@kernel
def _tile_1(c, a, b, at_c, at_a, k_a, at_b, row_b, k_total, n):
    """One row by n columns, n at most 16."""
    x = load_first(c, at_c, n)
    for _ in range(k_total):
        x = fma(splat(a[at_a]), load_first(b, at_b, n), x)
        at_a += k_a
        at_b += row_b
    store_first(c, at_c, n, x)


@kernel
def _single(c, a, b, m, k_total, n, row_a, k_a):
    """C += A B on flat float32 arrays; C (M, N) and B (K, N) row by row, A by its two distances."""
    whole = m - m % 4
    for k in range(0, k_total, K_BLOCK):
        steps = min(k_total - k, K_BLOCK)
        at_a, at_b = k * k_a, k * n
        j = n - n  # not the literal 0, for which numba would compile everything once more
        while WIDE > 0 and j + WIDE <= n:
            for i in range(0, whole, 4):
                _tile_4_wide(c, a, b, i * n + j, n, at_a + i * row_a, row_a, k_a, at_b + j, n, steps)
            for i in range(whole, m):
                _tile_1_wide(c, a, b, i * n + j, at_a + i * row_a, k_a, at_b + j, n, steps)
            j += WIDE
        while j < n:
            columns = min(n - j, WIDTH)
            for i in range(0, whole, 4):
                _tile_4(c, a, b, i * n + j, n, at_a + i * row_a, row_a, k_a, at_b + j, n, steps, columns)
            for i in range(whole, m):
                _tile_1(c, a, b, i * n + j, at_a + i * row_a, k_a, at_b + j, n, steps, columns)
            j += WIDTH


@kernel
def _plain(c, a, b, m, k_total, n, row_a, k_a):
    """The same in any precision, four steps of k at a time; the loop over columns vectorises."""
    for i in range(m):
        row = c[i * n : (i + 1) * n]
        whole = k_total - k_total % 4
        for k in range(0, whole, 4):
            at = i * row_a + k * k_a
            a0, a1, a2, a3 = a[at], a[at + k_a], a[at + 2 * k_a], a[at + 3 * k_a]
            b0, b1 = b[k * n : (k + 1) * n], b[(k + 1) * n : (k + 2) * n]
            b2, b3 = b[(k + 2) * n : (k + 3) * n], b[(k + 3) * n : (k + 4) * n]
            for j in range(n):
                row[j] = row[j] + a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j]
        for k in range(whole, k_total):
            for j in range(n):
                row[j] = row[j] + a[i * row_a + k * k_a] * b[k * n + j]


_product = by_element_type(_single, _plain)


@kernel
def add_product(c_MN, a_MK, b_KN):
    """C += A B for C-contiguous C (M, N), B (K, N) and A (M, K); C overlaps neither."""
    m, k = a_MK.shape
    _product(c_MN.reshape(-1), a_MK.reshape(-1), b_KN.reshape(-1), m, k, b_KN.shape[1], k, 1)


@kernel
def add_product_of_transpose(c_MN, a_KM, b_KN):
    """C += A^T B for C-contiguous C (M, N), B (K, N) and A (K, M); C overlaps neither."""
    k, m = a_KM.shape
    _product(c_MN.reshape(-1), a_KM.reshape(-1), b_KN.reshape(-1), m, k, b_KN.shape[1], 1, m)
