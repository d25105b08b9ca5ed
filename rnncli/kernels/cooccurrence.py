"""Co-occurrence counts, one row of the matrix at a time: a dense row is summed from the places where its word stands.

No hash table and no sort of pairs: the row of one word fits in cache, and rows are independent, so they are counted in
parallel. Counts are whole multiples of 2^-30, which add up exactly in any order: how the corpus was cut, and by how
many threads it was counted, does not show.

Dimension key: T buffer (tokens and the breaks between lines), V vocabulary, R rows of a batch, G groups of rows.
"""

import numpy as np

from rnncli.kernels._jit import kernel, parallel_kernel, prange, trailing_zeros
from rnncli.kernels.scalar import counter_hash

BREAK = np.int32(-1)  # between two lines of the buffer
FIXED = 30  # binary digits after the point of a count; the largest one is 2^33
UNIT = 2.0**-FIXED


@kernel
def index_words(buffer, starts, positions):
    """Where each word stands: those of word i are positions[starts[i] : starts[i + 1]], in order.

    Shapes   buffer (T,) int32 ids and BREAKs; starts (V + 2,) int64 out, its last place is work space; positions
             (tokens,) int32 out.
    Source   counting sort.
    """
    for i in range(starts.shape[0]):
        starts[i] = 0
    for p in range(buffer.shape[0]):
        if buffer[p] >= 0:
            starts[buffer[p] + 2] += 1
    for i in range(2, starts.shape[0]):
        starts[i] += starts[i - 1]
    for p in range(buffer.shape[0]):
        word = buffer[p]
        if word >= 0:
            positions[starts[word + 1]] = p
            starts[word + 1] += 1


@kernel
def _add(sums, touched, n, column, count):
    """Add to one cell; returns how many cells of the row are in use."""
    if sums[column] == 0:
        touched[n] = column
        n += 1
    sums[column] += count
    return n


@kernel
def _count_row(buffer, places, window, weights, symmetric, sums, touched, n):
    """Add the contexts of one word, standing at `places`, to its row; returns how many cells are in use."""
    last = buffer.shape[0]
    for p in places:
        for k in range(1, window + 1):
            at = p - k
            if at < 0 or buffer[at] < 0:
                break
            n = _add(sums, touched, n, buffer[at], weights[k])
        if symmetric:
            for k in range(1, window + 1):
                at = p + k
                if at >= last or buffer[at] < 0:
                    break
                n = _add(sums, touched, n, buffer[at], weights[k])
    return n


@kernel
def _take_row(sums, touched, n, marks, columns, counts, at):
    """Write the cells in use from columns[at] and counts[at] on, columns ascending, and leave the row zero.

    Few cells are sorted; many are marked in a bit field (V / 64,) that is then read from one end to the other.
    """
    if n * 8 < marks.shape[0]:
        ordered = np.sort(touched[:n])
        for k in range(n):
            column = ordered[k]
            columns[at + k], counts[at + k] = column, sums[column]
            sums[column] = 0
        return
    for k in range(n):
        marks[touched[k] >> 6] |= np.uint64(1) << np.uint64(touched[k] & 63)
    for block in range(marks.shape[0]):
        bits = marks[block]
        marks[block] = np.uint64(0)
        while bits:
            column = (block << 6) + np.int64(trailing_zeros(bits))
            columns[at], counts[at] = column, sums[column]
            sums[column] = 0
            at += 1
            bits &= bits - np.uint64(1)


@parallel_kernel
def count_rows(
    buffer, starts, positions, first, groups, places, window, weights, symmetric,
    sums_GV, touched_GV, marks_G, columns, counts, sizes,
):  # fmt: skip
    """Count the rows first .. first + R - 1 of one piece of the corpus.

    Shapes   buffer (T,), starts, positions as index_words left them; groups (G + 1,) int64: group g counts the rows
             first + groups[g] .. of the batch; places (R + 1,) int64: where each row may write; weights (window + 1,)
             int64: the count of a pair at each distance; symmetric: whether words to the right count as well; sums_GV
             int64 zero, touched_GV int32, marks_G (G, V / 64) uint64 zero: work space; columns int32 and counts int64
             out, ascending in each row; sizes (R,) int64 out: cells in use of each row.
    """
    for g in prange(groups.shape[0] - 1):
        for r in range(groups[g], groups[g + 1]):
            word = first + r
            stands = positions[starts[word] : starts[word + 1]]
            n = _count_row(buffer, stands, window, weights, symmetric, sums_GV[g], touched_GV[g], 0)
            _take_row(sums_GV[g], touched_GV[g], n, marks_G[g], columns, counts, places[r])
            sizes[r] = n


@parallel_kernel
def merge_rows(
    run_columns, run_counts, run_places, groups, places, sums_GV, touched_GV, marks_G, columns, counts, sizes
):
    """Sum the same R rows of several runs.

    Shapes   run_columns int32 and run_counts int64: the runs back to back; run_places (N, R + 1) int64: where row r of
             run n lies in them; the others as in count_rows.
    """
    for g in prange(groups.shape[0] - 1):
        for r in range(groups[g], groups[g + 1]):
            n = 0
            for run in range(run_places.shape[0]):
                for at in range(run_places[run, r], run_places[run, r + 1]):
                    n = _add(sums_GV[g], touched_GV[g], n, run_columns[at], run_counts[at])
            _take_row(sums_GV[g], touched_GV[g], n, marks_G[g], columns, counts, places[r])
            sizes[r] = n


@kernel
def pack_rows(columns, counts, places, sizes):
    """Close the gaps between rows, in place; returns how many cells there are.

    Shapes   as count_rows wrote them.
    """
    at = 0
    for r in range(sizes.shape[0]):
        for k in range(places[r], places[r] + sizes[r]):
            columns[at], counts[at] = columns[k], counts[k]
            at += 1
    return at


@kernel
def order_tiles(columns, counts, row_starts, column_bounds, column_tiles, key, cells, values, tile_starts):
    """Cut the rows of one block into tiles and shuffle every tile.

    Shapes   columns (n,) int32 and counts (n,) int64, packed; row_starts (R + 1,) int64; column_bounds (P + 1,) int64;
             column_tiles (V,) int32: the tile of each column; cells (n,) uint32 out: row within the block << 16 |
             column within the tile; values (n,) float32 out: the counts; tile_starts (P + 2,) int64 out, its last
             place is work space.
    Source   the inside-out shuffle (Fisher & Yates; Knuth 1969, algorithm 3.4.2P), drawn by position.
    """
    for t in range(tile_starts.shape[0]):
        tile_starts[t] = 0
    for k in range(columns.shape[0]):
        tile_starts[column_tiles[columns[k]] + 2] += 1
    for t in range(2, tile_starts.shape[0]):
        tile_starts[t] += tile_starts[t - 1]
    filled = tile_starts[1:].copy()
    position = np.uint64(0)
    for r in range(row_starts.shape[0] - 1):
        for k in range(row_starts[r], row_starts[r + 1]):
            tile = column_tiles[columns[k]]
            at = filled[tile]
            before = np.uint64(at - tile_starts[tile + 1] + 1)
            chosen = at - np.int64(((counter_hash(key, position) >> np.uint64(32)) * before) >> np.uint64(32))
            cells[at], values[at] = cells[chosen], values[chosen]
            cells[chosen] = np.uint32((r << 16) | (columns[k] - column_bounds[tile]))
            values[chosen] = np.float32(np.float64(counts[k]) * UNIT)
            filled[tile] = at + 1
            position += np.uint64(1)
    for t in range(1, tile_starts.shape[0]):
        tile_starts[t - 1] = tile_starts[t]
