"""Matrix products on rows: the only place where one is written.

Dimension key: M rows of the result, K summed axis, N columns of the result.

Every product adds to its result, C += A B. In float32 a tile of C, eight rows by 32 columns (four by 16 where the machine
has fewer registers), stays in registers while k runs (kernels/tiles.py); other precisions take plain loops. Each element
of C is summed over k in ascending order, one fused multiply-add at a time, whatever the tile: a row's result never
depends on how many rows share the call.

A matrix that many products read as their B is best packed: into panels of PANEL columns, each row by row, the last one
filled up with zeros. A tile then reads contiguous memory.
"""

import numpy as np

from rnncli.kernels._jit import HAS_WIDE_REGISTERS, by_element_type, inline_kernel, kernel, parallel_kernel, prange
from rnncli.kernels.lanes import WIDTH, load, load_first, store, store_transposed
from rnncli.kernels.tiles import make_tile

ROWS = 8 if HAS_WIDE_REGISTERS else 4  # of a tile
PANEL = 2 * WIDTH if HAS_WIDE_REGISTERS else WIDTH  # columns of a tile
K_BLOCK = 256  # steps of k at most that run before the next tile, so that what A and B hold of them stays in cache
TURNED_BLOCK = 128  # the same for a transposed A, of which M_BLOCK columns are packed at a time
M_BLOCK = 32
SMALL = 1 << 18  # elements that one thread has packed sooner than others wake up


@inline_kernel
def panels_of(n):
    """Number of panels of n columns."""
    return (n + PANEL - 1) // PANEL


# Masks cost nothing on wide registers; elsewhere whole tiles do without.
_wide_8, _wide_4, _wide_2, _wide_1 = (make_tile(rows, PANEL // WIDTH, HAS_WIDE_REGISTERS) for rows in (ROWS, 4, 2, 1))
_narrow_8, _narrow_4, _narrow_1 = (make_tile(rows, 1, True) for rows in (ROWS, 4, 1))
_NARROW = WIDTH if HAS_WIDE_REGISTERS else WIDTH - 1  # columns that a narrow tile is for


@inline_kernel
def _strip(c, at_c, row_c, m, a, at_a, group_a, row_a, k_a, b, at_b, row_b, steps, columns):
    """m rows by up to PANEL columns; see _blocks."""
    i = m - m  # not the literal 0, for which numba would compile everything once more
    while i < m:
        at, to = at_a + (i - i % WIDTH) * group_a + i % WIDTH * row_a, at_c + i * row_c
        if columns > _NARROW:
            last = columns - (PANEL - WIDTH)
            if i + ROWS <= m:
                _wide_8(c, to, row_c, a, at, row_a, k_a, b, at_b, row_b, steps, last)
                i += ROWS
            elif i + 4 <= m:
                _wide_4(c, to, row_c, a, at, row_a, k_a, b, at_b, row_b, steps, last)
                i += 4
            elif i + 2 <= m:
                _wide_2(c, to, row_c, a, at, row_a, k_a, b, at_b, row_b, steps, last)
                i += 2
            else:
                _wide_1(c, to, row_c, a, at, row_a, k_a, b, at_b, row_b, steps, last)
                i += 1
        elif i + ROWS <= m:
            _narrow_8(c, to, row_c, a, at, row_a, k_a, b, at_b, row_b, steps, columns)
            i += ROWS
        elif i + 4 <= m:
            _narrow_4(c, to, row_c, a, at, row_a, k_a, b, at_b, row_b, steps, columns)
            i += 4
        else:
            _narrow_1(c, to, row_c, a, at, row_a, k_a, b, at_b, row_b, steps, columns)
            i += 1


@inline_kernel
def _blocks_of(k_total):
    """Number of blocks of k; block i begins at k_total i // number."""
    return (k_total + K_BLOCK - 1) // K_BLOCK


@kernel
def _blocks(c, at_c, row_c, m, n, a, at_a, group_a, row_a, k_a, b, at_b, width_b, is_packed, k_total):
    """C += A B on flat float32 arrays, `at_` their first elements.

    row_c         distance of the rows of C
    group_a       16 rows of A further on lie 16 group_a elements further on
    row_a, k_a    distances of rows inside such a group, and of steps of k
    width_b       columns that B has in memory, of which at least PANEL can be read from any panel on
    is_packed     whether each block of B lies panel by panel
    """
    blocks = _blocks_of(k_total)
    for block in range(blocks):
        k = k_total * block // blocks
        steps = k_total * (block + 1) // blocks - k
        for j in range(0, n, PANEL):
            at = at_b + k * width_b + j * (steps if is_packed else 1)
            row_b = PANEL if is_packed else width_b
            _strip(
                c, at_c + j, row_c, m, a, at_a + k * k_a, group_a, row_a, k_a, b, at, row_b, steps, min(n - j, PANEL)
            )


@inline_kernel
def _copy(p, at_p, width, b, at_b, row_b, k_total, columns):
    """k_total rows of `columns` numbers, cut into pieces of `width`, a multiple of 16; the last is filled up with zeros.

    Piece after piece in p, each row after row. Rows are read as a whole: that is what memory is fast at.
    """
    for k in range(k_total):
        for j in range(0, columns, width):
            for v in range(0, width, WIDTH):
                to, at, there = at_p + j * k_total + k * width + v, at_b + k * row_b + j + v, columns - j - v
                if there >= WIDTH:
                    store(p, to, load(b, at))
                else:
                    store(p, to, load_first(b, at, max(there, 0)))


@kernel
def _single(c, a, b, m, k_total, n):
    """C += A B on flat float32 arrays, row by row; the columns that fill no panel are packed first."""
    zero, whole = n - n, n - n % PANEL
    _blocks(c, zero, n, m, whole, a, zero, k_total, k_total, 1, b, zero, n, False, k_total)
    if whole < n:
        p = np.empty(k_total * PANEL, b.dtype)
        _copy(p, 0, PANEL, b, whole, n, k_total, n - whole)
        _blocks(c, whole, n, m, n - whole, a, zero, k_total, k_total, 1, p, zero, zero + PANEL, True, k_total)


@kernel
def _single_of_transpose(c, a, at_a, row_a, b, m, k_total, n):
    """C += A^T B on flat float32 arrays; A (K, M) and B are packed a block at a time."""
    zero, width = n - n, panels_of(n) * PANEL
    b_packed = np.empty(min(k_total, TURNED_BLOCK) * width, b.dtype)
    a_packed = np.empty(min(k_total, TURNED_BLOCK) * M_BLOCK, b.dtype)
    for k in range(0, k_total, TURNED_BLOCK):
        steps = min(k_total - k, TURNED_BLOCK)
        _copy(b_packed, 0, PANEL, b, k * n, n, steps, n)
        for i in range(0, m, M_BLOCK):
            rows = min(m - i, M_BLOCK)
            _copy(a_packed, 0, WIDTH, a, at_a + k * row_a + i, row_a, steps, rows)
            _blocks(c, i * n, n, rows, n, a_packed, zero, steps, zero + 1, WIDTH, b_packed, zero, width, True, steps)


@kernel
def _plain(c, at_c, row_c, a, at_a, row_a, k_a, b, m, k_total, n):
    """The same in any precision, four steps of k at a time; the loop over columns vectorises."""
    for i in range(m):
        row = c[at_c + i * row_c : at_c + i * row_c + n]
        whole = k_total - k_total % 4
        for k in range(0, whole, 4):
            at = at_a + i * row_a + k * k_a
            a0, a1, a2, a3 = a[at], a[at + k_a], a[at + 2 * k_a], a[at + 3 * k_a]
            b0, b1 = b[k * n : (k + 1) * n], b[(k + 1) * n : (k + 2) * n]
            b2, b3 = b[(k + 2) * n : (k + 3) * n], b[(k + 3) * n : (k + 4) * n]
            for j in range(n):
                row[j] = row[j] + a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j]
        for k in range(whole, k_total):
            for j in range(n):
                row[j] = row[j] + a[at_a + i * row_a + k * k_a] * b[k * n + j]


@kernel
def _plain_product(c, a, b, m, k_total, n):
    _plain(c, n - n, n, a, n - n, k_total, 1, b, m, k_total, n)


@kernel
def _plain_of_transpose(c, a, at_a, row_a, b, m, k_total, n):
    _plain(c, n - n, n, a, at_a, n - n + 1, row_a, b, m, k_total, n)


_product = by_element_type(_single, _plain_product)
_product_of_transpose = by_element_type(_single_of_transpose, _plain_of_transpose)


@kernel
def add_product(c_MN, a_MK, b_KN):
    """C += A B for C-contiguous C (M, N), B (K, N) and A (M, K); C overlaps neither."""
    m, k = a_MK.shape
    _product(c_MN.reshape(-1), a_MK.reshape(-1), b_KN.reshape(-1), m, k, b_KN.shape[1])


@kernel
def add_product_of_transpose(c_MN, a_KM, b_KN):
    """C += A^T B for C-contiguous C (M, N), B (K, N) and A (K, M); C overlaps neither."""
    add_product_of_columns(c_MN, a_KM, 0 * b_KN.shape[0], b_KN)


@kernel
def add_product_of_columns(c_MN, a_KJ, first, b_KN):
    """C += A^T B for C-contiguous C (M, N), B (K, N) and A = columns first .. first + M of a_KJ; C overlaps neither."""
    k, n = b_KN.shape
    m = c_MN.shape[0]
    _product_of_transpose(c_MN.reshape(-1), a_KJ.reshape(-1), first, a_KJ.shape[1], b_KN.reshape(-1), m, k, n)


@kernel
def _pack_single(p, b, k_total, n, panel):
    blocks = _blocks_of(k_total)
    for block in range(blocks):
        k = k_total * block // blocks
        steps = k_total * (block + 1) // blocks - k
        at, first = (k * panels_of(n) + panel * steps) * PANEL, panel * PANEL
        _copy(p, at, PANEL, b, k * n + first, n, steps, min(PANEL, n - first))


@kernel
def _pack_plain(p, b, k_total, n, panel):
    """Other precisions keep B as it is."""
    for k in range(k_total):
        for j in range(panel * PANEL, min(n, (panel + 1) * PANEL)):
            p[k * n + j] = b[k * n + j]


@kernel
def _pack_turned_single(p, w, k_total, n, panel):
    first = panel * PANEL
    columns = min(PANEL, n - first)
    square = columns - columns % WIDTH  # what can be turned in blocks of 16 by 16
    blocks = _blocks_of(k_total)
    for block in range(blocks):
        k = k_total * block // blocks
        steps = k_total * (block + 1) // blocks - k
        at = (k * panels_of(n) + panel * steps) * PANEL
        whole = steps - steps % WIDTH
        for step in range(0, whole, WIDTH):
            for j in range(0, square, WIDTH):
                store_transposed(p, at + step * PANEL + j, PANEL, w, (first + j) * k_total + k + step, k_total)
        for step in range(steps):
            for j in range(square if step < whole else 0, PANEL):
                p[at + step * PANEL + j] = w[(first + j) * k_total + k + step] if j < columns else 0


@kernel
def _pack_turned_plain(p, w, k_total, n, panel):
    for j in range(panel * PANEL, min(n, (panel + 1) * PANEL)):
        for k in range(k_total):
            p[k * n + j] = w[j * k_total + k]


@kernel
def _packed_single(c, at_c, row_c, a, at_a, row_a, p, m, k_total, n):
    width = panels_of(n) * PANEL
    _blocks(c, at_c, row_c, m, n, a, at_a, row_a, row_a, 1, p, n - n, width, True, k_total)


@kernel
def _packed_plain(c, at_c, row_c, a, at_a, row_a, p, m, k_total, n):
    _plain(c, at_c, row_c, a, at_a, row_a, 1, p, m, k_total, n)


_pack = by_element_type(_pack_single, _pack_plain)
_pack_turned = by_element_type(_pack_turned_single, _pack_turned_plain)
_packed_product = by_element_type(_packed_single, _packed_plain)


@parallel_kernel
def packed(b_KN):
    """B for add_packed_product."""
    k, n = b_KN.shape
    b, p = b_KN.reshape(-1), np.empty(k * panels_of(n) * PANEL, b_KN.dtype)
    if b_KN.size <= SMALL:
        for panel in range(panels_of(n)):
            _pack(p, b, k, n, panel)
    else:
        for panel in prange(panels_of(n)):
            _pack(p, b, k, n, panel)
    return p


@parallel_kernel
def packed_transpose(w_NK):
    """The same for B = W^T."""
    n, k = w_NK.shape
    w, p = w_NK.reshape(-1), np.empty(k * panels_of(n) * PANEL, w_NK.dtype)
    if w_NK.size <= SMALL:
        for panel in range(panels_of(n)):
            _pack_turned(p, w, k, n, panel)
    else:
        for panel in prange(panels_of(n)):
            _pack_turned(p, w, k, n, panel)
    return p


@kernel
def add_packed_product(c_MN, a_MK, p):
    """C += A B for C-contiguous C (M, N) and A (M, K), B packed in p; C overlaps neither."""
    zero = 0 * c_MN.shape[0]
    add_packed_columns(c_MN, zero, c_MN.shape[1], a_MK, zero, a_MK.shape[1], p)


@kernel
def add_packed_columns(c_MJ, first_c, n, a_ML, first_a, k, p):
    """The same for C = columns first_c .. first_c + n of c_MJ, A = columns first_a .. first_a + k of a_ML."""
    m, row_c = c_MJ.shape
    _packed_product(c_MJ.reshape(-1), first_c, row_c, a_ML.reshape(-1), first_a, a_ML.shape[1], p, m, k, n)
