"""The rows most like a query, or like three of them at once: cosines block by block, and the best ones kept.

Dimension key: V rows searched, E length of a row, W query vectors, N questions, K rows kept, S shards of the rows.

One parallel loop over shards. A shard takes its rows block by block: the cosines of a block with every query, then, for
each question, one score per row, and a heap of the K best. No score lives longer than its block, and the rows are read
where they lie: scaling to length 1 is a factor per row, not a copy.

A cosine is summed in sixteen lanes and then across them, always in one order, whatever the number of queries: four
queries by three rows and one query by twelve rows fill the same twelve sums. What is kept is decided by (score, row),
which no two rows share, so neither shards nor threads nor other questions can change it.

Source   3CosAdd: Mikolov, Yih & Zweig 2013, "Linguistic regularities in continuous space word representations".
         3CosMul: Levy & Goldberg 2014, "Linguistic regularities in sparse and explicit word representations", eq. 4.
"""

import numpy as np

from rnncli.kernels._jit import kernel, parallel_kernel, prange, trailing_zeros
from rnncli.kernels.lanes import WIDTH, above, fma, load, load_first, splat, store, sums_of_twelve

COSINE, COS_ADD, COS_MUL = 0, 1, 2
EPSILON = np.float32(0.001)
HALF, ONE = np.float32(0.5), np.float32(1.0)
TILE = 12  # sums of a tile
BLOCK_UNIT = 48  # a block is whole tiles and whole lanes
NO_ROW = np.int64(1) << np.int64(62)  # the row of an empty place, behind every real one
SMALLEST_NORM = 1e-30  # a shorter row counts as zero


@parallel_kernel
def inverse_norms(scales_V, rows_VE):
    """scales = 1 / |row|, 0 for a row of zeros.

    Shapes   scales (V,) float32 out; rows (V, E) float32.
    """
    v, e = rows_VE.shape
    for i in prange(v):
        a, b = 0.0, 0.0
        for j in range(0, e - 1, 2):
            x, y = np.float64(rows_VE[i, j]), np.float64(rows_VE[i, j + 1])
            a += x * x
            b += y * y
        if e % 2 == 1:
            x = np.float64(rows_VE[i, e - 1])
            a += x * x
        norm = np.sqrt(a + b)
        scales_V[i] = np.float32(1.0 / norm) if norm > SMALLEST_NORM else np.float32(0.0)


@kernel
def _four_by_three(out, a, at_a, b, b0, b1, b2, e):
    """out[3 q + r] = the product of row q of four rows of `a` and the row of `b` that begins at b_r."""
    a0, a1, a2, a3 = at_a, at_a + e, at_a + 2 * e, at_a + 3 * e
    zero = splat(np.float32(0.0))
    x00, x01, x02, x10, x11, x12 = zero, zero, zero, zero, zero, zero
    x20, x21, x22, x30, x31, x32 = zero, zero, zero, zero, zero, zero
    whole = e - e % WIDTH
    for k in range(0, whole, WIDTH):
        y0, y1, y2 = load(b, b0 + k), load(b, b1 + k), load(b, b2 + k)
        q = load(a, a0 + k)
        x00, x01, x02 = fma(q, y0, x00), fma(q, y1, x01), fma(q, y2, x02)
        q = load(a, a1 + k)
        x10, x11, x12 = fma(q, y0, x10), fma(q, y1, x11), fma(q, y2, x12)
        q = load(a, a2 + k)
        x20, x21, x22 = fma(q, y0, x20), fma(q, y1, x21), fma(q, y2, x22)
        q = load(a, a3 + k)
        x30, x31, x32 = fma(q, y0, x30), fma(q, y1, x31), fma(q, y2, x32)
    rest = e - whole
    if rest > 0:
        k = whole
        y0, y1, y2 = load_first(b, b0 + k, rest), load_first(b, b1 + k, rest), load_first(b, b2 + k, rest)
        q = load_first(a, a0 + k, rest)
        x00, x01, x02 = fma(q, y0, x00), fma(q, y1, x01), fma(q, y2, x02)
        q = load_first(a, a1 + k, rest)
        x10, x11, x12 = fma(q, y0, x10), fma(q, y1, x11), fma(q, y2, x12)
        q = load_first(a, a2 + k, rest)
        x20, x21, x22 = fma(q, y0, x20), fma(q, y1, x21), fma(q, y2, x22)
        q = load_first(a, a3 + k, rest)
        x30, x31, x32 = fma(q, y0, x30), fma(q, y1, x31), fma(q, y2, x32)
    store(out, 0, sums_of_twelve(x00, x01, x02, x10, x11, x12, x20, x21, x22, x30, x31, x32))


@kernel
def _one_by_twelve(out, a, at_a, b, at_b, step, e):
    """out[r] = the product of the row of `a` at at_a and the r-th of twelve rows of `b`, at_b + r * e at most at_b + step."""
    b0, b1, b2, b3 = at_b, at_b + min(e, step), at_b + min(2 * e, step), at_b + min(3 * e, step)
    b4, b5, b6 = at_b + min(4 * e, step), at_b + min(5 * e, step), at_b + min(6 * e, step)
    b7, b8, b9 = at_b + min(7 * e, step), at_b + min(8 * e, step), at_b + min(9 * e, step)
    b10, b11 = at_b + min(10 * e, step), at_b + min(11 * e, step)
    x0 = x1 = x2 = x3 = x4 = x5 = x6 = x7 = x8 = x9 = x10 = x11 = splat(np.float32(0.0))
    whole = e - e % WIDTH
    for k in range(0, whole, WIDTH):
        q = load(a, at_a + k)
        x0, x1, x2 = fma(q, load(b, b0 + k), x0), fma(q, load(b, b1 + k), x1), fma(q, load(b, b2 + k), x2)
        x3, x4, x5 = fma(q, load(b, b3 + k), x3), fma(q, load(b, b4 + k), x4), fma(q, load(b, b5 + k), x5)
        x6, x7, x8 = fma(q, load(b, b6 + k), x6), fma(q, load(b, b7 + k), x7), fma(q, load(b, b8 + k), x8)
        x9, x10, x11 = fma(q, load(b, b9 + k), x9), fma(q, load(b, b10 + k), x10), fma(q, load(b, b11 + k), x11)
    n = e - whole
    if n > 0:
        k = whole
        q = load_first(a, at_a + k, n)
        x0, x1 = fma(q, load_first(b, b0 + k, n), x0), fma(q, load_first(b, b1 + k, n), x1)
        x2, x3 = fma(q, load_first(b, b2 + k, n), x2), fma(q, load_first(b, b3 + k, n), x3)
        x4, x5 = fma(q, load_first(b, b4 + k, n), x4), fma(q, load_first(b, b5 + k, n), x5)
        x6, x7 = fma(q, load_first(b, b6 + k, n), x6), fma(q, load_first(b, b7 + k, n), x7)
        x8, x9 = fma(q, load_first(b, b8 + k, n), x8), fma(q, load_first(b, b9 + k, n), x9)
        x10, x11 = fma(q, load_first(b, b10 + k, n), x10), fma(q, load_first(b, b11 + k, n), x11)
    store(out, 0, sums_of_twelve(x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11))


@kernel
def _cosines(cosines_WB, sums, queries, w, rows, scales, e, start, n):
    """Cosines of every query with rows start .. start + n - 1; beyond n, up to a whole tile, the last one again."""
    fours = w - w % 4
    last = start + n - 1
    for at in range(0, n, TILE):
        for q in range(0, fours, 4):
            for j in range(at, at + TILE, 3):
                r0 = min(start + j, last)
                r1, r2 = min(start + j + 1, last), min(start + j + 2, last)
                _four_by_three(sums, queries, q * e, rows, r0 * e, r1 * e, r2 * e, e)
                for i in range(4):
                    cosines_WB[q + i, j] = sums[3 * i] * scales[r0]
                    cosines_WB[q + i, j + 1] = sums[3 * i + 1] * scales[r1]
                    cosines_WB[q + i, j + 2] = sums[3 * i + 2] * scales[r2]
        for q in range(fours, w):
            _one_by_twelve(sums, queries, q * e, rows, (start + at) * e, (last - start - at) * e, e)
            for j in range(TILE):
                cosines_WB[q, at + j] = sums[j] * scales[min(start + at + j, last)]


@kernel
def _combine(scores, cosines_WB, a, b, c, method, n):
    """One score per row of a block: the cosine with query b, or "a is to b as c is to the row" by 3CosAdd or 3CosMul."""
    x, y, z = cosines_WB[a], cosines_WB[b], cosines_WB[c]
    if method == COSINE:
        for j in range(n):
            scores[j] = y[j]
    elif method == COS_ADD:
        for j in range(n):
            scores[j] = y[j] - x[j] + z[j]
    else:
        for j in range(n):
            # Cosines are shifted to 0 .. 1, so that a product of two negative ones is no praise.
            shifted_a, shifted_b, shifted_c = (x[j] + ONE) * HALF, (y[j] + ONE) * HALF, (z[j] + ONE) * HALF
            scores[j] = shifted_b * shifted_c / (shifted_a + EPSILON)


@kernel
def _worse(score_i, row_i, score_j, row_j):
    return score_i < score_j or (score_i == score_j and row_i > row_j)


@kernel
def _replace_worst(best, rows, score, row):
    """Put (score, row) in the place of the root of a heap whose root is its worst item."""
    size = len(best)
    at = size - size  # not the literal 0, for which numba would compile everything once more
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _worse(best[child + 1], rows[child + 1], best[child], rows[child]):
            child += 1
        if not _worse(best[child], rows[child], score, row):
            break
        best[at], rows[at] = best[child], rows[child]
        at = child
    best[at], rows[at] = score, row


@kernel
def _keep_best(best, kept, scores, n, start, excluded):
    """Take the scores of rows start .. start + n - 1 into the heap, the excluded rows left out.

    Rows come in ascending order, so a score that only equals the worst of the heap never enters.
    """
    for at in range(0, n, WIDTH):
        candidates = above(scores, at, best[0])
        while candidates != 0:
            j = at + trailing_zeros(candidates)
            candidates &= candidates - 1
            row = start + j
            out = False
            for i in range(len(excluded)):
                out = out or excluded[i] == row
            if not out and scores[j] > best[0]:
                _replace_worst(best, kept, scores[j], row)


@kernel
def _search(best_NK, kept_NK, questions_N3, excluded_NX, queries_WE, rows_VE, scales_V, first, last, method, block):
    w, e = queries_WE.shape
    queries, rows = queries_WE.reshape(-1), rows_VE.reshape(-1)
    cosines_WB = np.empty((w, block), np.float32)
    scores, sums = np.empty(block, np.float32), np.empty(WIDTH, np.float32)
    for start in range(first, last, block):
        n = min(block, last - start)
        _cosines(cosines_WB, sums, queries, w, rows, scales_V, e, start, n)
        for i in range(len(questions_N3)):
            a, b, c = questions_N3[i, 0], questions_N3[i, 1], questions_N3[i, 2]
            _combine(scores, cosines_WB, a, b, c, method, n)
            for j in range(n, -(-n // WIDTH) * WIDTH):
                scores[j] = -np.inf
            _keep_best(best_NK[i], kept_NK[i], scores, n, start, excluded_NX[i])


@parallel_kernel
def search_rows(best_SNK, kept_SNK, questions_N3, excluded_NX, queries_WE, rows_VE, scales_V, bounds, method, block):
    """The K best rows of every shard for every question, in no order.

    Shapes   best (S, N, K) float32 and kept (S, N, K) int64: in -inf and NO_ROW, out scores and rows; questions (N, 3)
             int64 rows a, b, c of queries; excluded (N, X) int64 rows that are no answer, -1 for none; queries (W, E)
             float32 of length 1; rows (V, E) float32, scales (V,) their inverse norms; bounds (S + 1,) int64 row ranges.
    Values   method COSINE (with b), COS_ADD or COS_MUL; block a multiple of BLOCK_UNIT, rows per step.
    """
    for s in prange(len(best_SNK)):
        _search(
            best_SNK[s], kept_SNK[s], questions_N3, excluded_NX, queries_WE, rows_VE, scales_V, bounds[s],
            bounds[s + 1], method, block,
        )  # fmt: skip
