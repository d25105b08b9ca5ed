"""Matrix products on rows: the only place where one is written.

Dimension key: M rows of the result, K summed axis, N columns of the result.

Every product adds to its result, C += A B. A tile of C, eight rows by 32 columns of float32 or 16 of float64, stays in
registers while k runs (kernels/tiles.py). Where the machine has fewer registers, float32 has tiles of four by 16; float64
takes plain loops there, and everywhere for very few rows. Each element of C is summed over k in ascending order, one fused
multiply-add at a time, whatever the tile: a row's result never depends on how many rows share the call.

A matrix that many products read as their B is best packed: into panels as wide as a tile, each row by row, the last one
filled up with zeros. A tile then reads contiguous memory.
"""

import numpy as np

from rnncli.kernels._jit import HAS_WIDE_REGISTERS, by_element_type, inline_kernel, kernel, parallel_kernel, prange
from rnncli.kernels.lanes import WIDTH, store_transposed
from rnncli.kernels.tiles import copy, copy_first, make_tile

ROWS = 8 if HAS_WIDE_REGISTERS else 4  # of a tile
VECTORS = 2 if HAS_WIDE_REGISTERS else 1  # registers of WIDTH float32 or WIDTH / 2 float64 side by side in a tile
K_BLOCK = 256  # steps of k at most that run before the next tile, so that what A and B hold of them stays in cache
TURNED_BLOCK = 128  # the same for a transposed A, of which M_BLOCK columns are packed at a time
M_BLOCK = 32
PANELS = 8  # of B that are packed at a time
FEW = 4  # rows that float64 takes plain loops for: they cannot pay for packing B
SMALL = 1 << 18  # elements that one thread has packed sooner than others wake up


@inline_kernel
def _single_width(array):
    return WIDTH


@inline_kernel
def _double_width(array):
    return WIDTH // 2


_width_of = by_element_type(_single_width, _double_width)  # elements of a register


@inline_kernel
def _panel_of(array):
    """Columns of a tile."""
    return VECTORS * _width_of(array)


@inline_kernel
def _panels_of(array, n):
    """Number of panels of n columns."""
    return (n + _panel_of(array) - 1) // _panel_of(array)


# Masks cost nothing on wide registers; elsewhere whole tiles do without.
_wide_8, _wide_4, _wide_2, _wide_1 = (make_tile(rows, VECTORS, HAS_WIDE_REGISTERS) for rows in (ROWS, 4, 2, 1))
_narrow_8, _narrow_4, _narrow_1 = (make_tile(rows, 1, True) for rows in (ROWS, 4, 1))
_TO_SPARE = 0 if HAS_WIDE_REGISTERS else 1  # columns less than a register for which the narrow tile is taken


@inline_kernel
def _strip(c, at_c, row_c, m, a, at_a, group_a, row_a, k_a, b, at_b, row_b, steps, columns):
    """m rows by up to a panel of columns; see _blocks."""
    width = _width_of(c)
    i = m - m  # not the literal 0, for which numba would compile everything once more
    while i < m:
        at, to = at_a + (i - i % width) * group_a + i % width * row_a, at_c + i * row_c
        if columns > width - _TO_SPARE:
            last = columns - (VECTORS - 1) * width
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
    """C += A B on flat arrays of one precision, `at_` their first elements.

    row_c         distance of the rows of C
    group_a       rows of A as many as a register has elements, W, lie W group_a elements further on
    row_a, k_a    distances of rows inside such a group, and of steps of k
    width_b       columns that B has in memory, of which a whole panel can be read from any panel on
    is_packed     whether each block of B lies panel by panel
    """
    blocks, panel = _blocks_of(k_total), _panel_of(c)
    for block in range(blocks):
        k = k_total * block // blocks
        steps = k_total * (block + 1) // blocks - k
        for j in range(0, n, panel):
            at = at_b + k * width_b + j * (steps if is_packed else 1)
            row_b = panel if is_packed else width_b
            _strip(
                c, at_c + j, row_c, m, a, at_a + k * k_a, group_a, row_a, k_a, b, at, row_b, steps, min(n - j, panel)
            )


@inline_kernel
def _copy(p, at_p, width, b, at_b, row_b, k_total, columns):
    """k_total rows of `columns` numbers, cut into pieces of `width`, whole registers; the last is filled up with zeros.

    Piece after piece in p, each row after row. Rows are read as a whole: that is what memory is fast at.
    """
    for k in range(k_total):
        for j in range(0, columns, width):
            for v in range(0, width, _width_of(b)):
                to, at, there = at_p + j * k_total + k * width + v, at_b + k * row_b + j + v, columns - j - v
                if there >= _width_of(b):
                    copy(p, to, b, at)
                else:
                    copy_first(p, to, b, at, max(there, 0))


@kernel
def _single(c, a, b, m, k_total, n):
    """C += A B on flat float32 arrays, row by row; the columns that fill no panel are packed first."""
    zero, panel = n - n, _panel_of(c)
    whole = n - n % panel
    _blocks(c, zero, n, m, whole, a, zero, k_total, k_total, 1, b, zero, n, False, k_total)
    if whole < n:
        p = np.empty(k_total * panel, b.dtype)
        _copy(p, 0, panel, b, whole, n, k_total, n - whole)
        _blocks(c, whole, n, m, n - whole, a, zero, k_total, k_total, 1, p, zero, zero + panel, True, k_total)


@kernel
def _tiles_of_transpose(c, a, at_a, row_a, b, m, k_total, n):
    """C += A^T B on flat arrays of one precision; A (K, M) and B are packed a block at a time."""
    zero, one, panel, group = n - n, n - n + 1, _panel_of(c), _width_of(c)
    block = PANELS * panel
    b_packed = np.empty(min(k_total, TURNED_BLOCK) * min(_panels_of(c, n) * panel, block), b.dtype)
    a_packed = np.empty(min(k_total, TURNED_BLOCK) * M_BLOCK, b.dtype)
    for k in range(0, k_total, TURNED_BLOCK):
        steps = min(k_total - k, TURNED_BLOCK)
        for j in range(0, n, block):
            columns = min(n - j, block)
            width = _panels_of(c, columns) * panel
            _copy(b_packed, 0, panel, b, k * n + j, n, steps, columns)
            for i in range(0, m, M_BLOCK):
                at, rows = i * n + j, min(m - i, M_BLOCK)
                _copy(a_packed, 0, group, a, at_a + k * row_a + i, row_a, steps, rows)
                _blocks(c, at, n, rows, columns, a_packed, zero, steps, one, group, b_packed, zero, width, True, steps)


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


@kernel
def _double(c, a, b, m, k_total, n):
    """C += A B on flat float64 arrays; where rows share B, it is packed a block at a time."""
    if m < FEW:
        _plain(c, n - n, n, a, n - n, k_total, 1, b, m, k_total, n)
        return
    zero, panel = n - n, _panel_of(c)
    block = PANELS * panel
    p = np.empty(min(k_total, K_BLOCK) * min(_panels_of(c, n) * panel, block), b.dtype)
    for k in range(0, k_total, K_BLOCK):
        steps = min(k_total - k, K_BLOCK)
        for j in range(0, n, block):
            columns = min(n - j, block)
            width = _panels_of(c, columns) * panel
            _copy(p, 0, panel, b, k * n + j, n, steps, columns)
            _blocks(c, j, n, m, columns, a, k, k_total, k_total, 1, p, zero, width, True, steps)


@kernel
def _double_of_transpose(c, a, at_a, row_a, b, m, k_total, n):
    """C += A^T B on flat float64 arrays."""
    if m < FEW:
        _plain(c, n - n, n, a, at_a, n - n + 1, row_a, b, m, k_total, n)
    else:
        _tiles_of_transpose(c, a, at_a, row_a, b, m, k_total, n)


_product = by_element_type(_single, _double if HAS_WIDE_REGISTERS else _plain_product)
_product_of_transpose = by_element_type(
    _tiles_of_transpose, _double_of_transpose if HAS_WIDE_REGISTERS else _plain_of_transpose
)


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
def _pack_tiles(p, b, k_total, n, panel):
    blocks, width = _blocks_of(k_total), _panel_of(b)
    for block in range(blocks):
        k = k_total * block // blocks
        steps = k_total * (block + 1) // blocks - k
        at, first = (k * _panels_of(b, n) + panel * steps) * width, panel * width
        _copy(p, at, width, b, k * n + first, n, steps, min(width, n - first))


@kernel
def _pack_plain(p, b, k_total, n, panel):
    """Plain loops keep B as it is."""
    for k in range(k_total):
        for j in range(panel * _panel_of(b), min(n, (panel + 1) * _panel_of(b))):
            p[k * n + j] = b[k * n + j]


@kernel
def _pack_turned_single(p, w, k_total, n, panel):
    blocks, width = _blocks_of(k_total), _panel_of(w)
    first = panel * width
    columns = min(width, n - first)
    square = columns - columns % WIDTH  # what can be turned in blocks of 16 by 16
    for block in range(blocks):
        k = k_total * block // blocks
        steps = k_total * (block + 1) // blocks - k
        at = (k * _panels_of(w, n) + panel * steps) * width
        whole = steps - steps % WIDTH
        for step in range(0, whole, WIDTH):
            for j in range(0, square, WIDTH):
                store_transposed(p, at + step * width + j, width, w, (first + j) * k_total + k + step, k_total)
        for step in range(steps):
            for j in range(square if step < whole else 0, width):
                p[at + step * width + j] = w[(first + j) * k_total + k + step] if j < columns else 0


@kernel
def _pack_turned_double(p, w, k_total, n, panel):
    blocks, width = _blocks_of(k_total), _panel_of(w)
    for block in range(blocks):
        k = k_total * block // blocks
        steps = k_total * (block + 1) // blocks - k
        at = (k * _panels_of(w, n) + panel * steps) * width
        for step in range(steps):
            for j in range(width):
                column = panel * width + j
                p[at + step * width + j] = w[column * k_total + k + step] if column < n else 0


@kernel
def _pack_turned_plain(p, w, k_total, n, panel):
    for j in range(panel * _panel_of(w), min(n, (panel + 1) * _panel_of(w))):
        for k in range(k_total):
            p[k * n + j] = w[j * k_total + k]


@kernel
def _packed_tiles(c, at_c, row_c, a, at_a, row_a, p, m, k_total, n):
    _blocks(c, at_c, row_c, m, n, a, at_a, row_a, row_a, 1, p, n - n, _panels_of(c, n) * _panel_of(c), True, k_total)


@kernel
def _packed_plain(c, at_c, row_c, a, at_a, row_a, p, m, k_total, n):
    _plain(c, at_c, row_c, a, at_a, row_a, 1, p, m, k_total, n)


_pack = by_element_type(_pack_tiles, _pack_tiles if HAS_WIDE_REGISTERS else _pack_plain)
_pack_turned = by_element_type(_pack_turned_single, _pack_turned_double if HAS_WIDE_REGISTERS else _pack_turned_plain)
_packed_product = by_element_type(_packed_tiles, _packed_tiles if HAS_WIDE_REGISTERS else _packed_plain)


@parallel_kernel
def packed(b_KN):
    """B for add_packed_product."""
    k, n = b_KN.shape
    b = b_KN.reshape(-1)
    panels = _panels_of(b, n)
    p = np.empty(k * panels * _panel_of(b), b_KN.dtype)
    if b_KN.size <= SMALL:
        for panel in range(panels):
            _pack(p, b, k, n, panel)
    else:
        for panel in prange(panels):
            _pack(p, b, k, n, panel)
    return p


@parallel_kernel
def packed_transpose(w_NK):
    """The same for B = W^T."""
    n, k = w_NK.shape
    w = w_NK.reshape(-1)
    panels = _panels_of(w, n)
    p = np.empty(k * panels * _panel_of(w), w_NK.dtype)
    if w_NK.size <= SMALL:
        for panel in range(panels):
            _pack_turned(p, w, k, n, panel)
    else:
        for panel in prange(panels):
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
