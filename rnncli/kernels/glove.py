"""GloVe: weighted least squares on the logarithms of co-occurrence counts, by AdaGrad.

    J = sum_ij f(X_ij) (w_i . v_j + b_i + c_j - log X_ij)^2,   f(x) = min(1, (x / x_max)^alpha)

Source: Pennington, Socher & Manning 2014, "GloVe: Global vectors for word representation", eq. (8) and (9); AdaGrad as in
their program: with g half the derivative of J times the rate, a parameter moves by -g / sqrt(s), then s += g^2, s begins at 1.

Dimension key: D floats of a padded row, V vocabulary, P tiles on a side.

The matrix is cut into P x P tiles. The P tiles of a diagonal share neither a row nor a column, so they are trained in
parallel without a race, and a tile's rows stay in cache (Gemulla et al. 2011, "Large-scale matrix factorization with
distributed stochastic gradient descent"). A bias lies in its row as one more weight, against a constant 1 on the other
side whose s is so large that it never moves; s lies behind the weights.
"""

import numpy as np

from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.lanes import (
    WIDTH,
    add,
    exp_negative,
    fma,
    inverse_sqrt,
    load,
    load_first,
    log,
    mul,
    prefetch,
    splat,
    store,
    sub,
    total,
)

CELLS_AT_ONCE = 256  # whose logarithms and weights are computed together
AHEAD = 3  # cells whose rows travel while one is trained
HELD_STILL = np.float32(1e30)  # s of a constant: its steps are below half a digit of 1


@kernel
def train_tile(x, y, cells, values, first, last, row, column, dim, rate, log_x_max, alpha, scratch):
    """Train the cells first .. last - 1 of one tile, in order; returns their part of J before each step.

    Shapes   x, y float32 with one axis: rows of 2 D floats, weights then s; cells uint32, row << 16 | column within the
             tile, which begins at `row` and `column`; values float32: X; scratch (2, CELLS_AT_ONCE) float32.
    Writes   x and y; with rate 0 they stay as they are.
    """
    cost = 0.0
    logs, weights = scratch[0], scratch[1]
    bound, power = splat(log_x_max), splat(alpha)
    for begin in range(first, last, CELLS_AT_ONCE):
        n = min(last - begin, CELLS_AT_ONCE)
        for k in range(0, n, WIDTH):
            logarithm = log(load_first(values, begin + k, min(n - k, WIDTH)))
            store(logs, k, logarithm)
            store(weights, k, exp_negative(mul(power, sub(logarithm, bound))))
        for k in range(n):
            later = cells[min(begin + k + AHEAD, last - 1)]
            i = (row + np.int64(later >> np.uint32(16))) * 2 * dim
            j = (column + np.int64(later & np.uint32(0xFFFF))) * 2 * dim
            for at in range(0, 2 * dim, WIDTH):
                prefetch(x, i + at)
                prefetch(y, j + at)
            cell = cells[begin + k]
            i = (row + np.int64(cell >> np.uint32(16))) * 2 * dim
            j = (column + np.int64(cell & np.uint32(0xFFFF))) * 2 * dim
            dot = splat(np.float32(0.0))
            for at in range(0, dim, WIDTH):
                dot = fma(load(x, i + at), load(y, j + at), dot)
            error = total(dot) - logs[k]
            cost += np.float64(weights[k] * error * error)
            step = splat(rate * weights[k] * error)
            for at in range(0, dim, WIDTH):
                w, v = load(x, i + at), load(y, j + at)
                s, t = load(x, i + dim + at), load(y, j + dim + at)
                g, h = mul(step, v), mul(step, w)
                store(x, i + at, sub(w, mul(g, inverse_sqrt(s))))
                store(y, j + at, sub(v, mul(h, inverse_sqrt(t))))
                store(x, i + dim + at, add(s, mul(g, g)))
                store(y, j + dim + at, add(t, mul(h, h)))
    return cost


@parallel_kernel
def train_diagonal(x, y, cells, values, tiles, bins, rows, columns, dim, rate, log_x_max, alpha, costs, scratch):
    """Train tiles that share no row and no column, a bin of them after the other, bins in parallel.

    Shapes   tiles (n, 2) int64: the first cell of each tile and the one after its last; bins (threads + 1,) int64: bin b
             has the tiles bins[b] .. bins[b + 1] - 1; rows, columns (n,) int64: where each tile begins; costs (n,)
             float64 out: its part of J; scratch (threads, 2, CELLS_AT_ONCE) float32; the others as in train_tile.
    """
    for b in prange(bins.shape[0] - 1):
        for t in range(bins[b], bins[b + 1]):
            costs[t] = train_tile(
                x, y, cells, values, tiles[t, 0], tiles[t, 1], rows[t], columns[t], dim, rate, log_x_max, alpha,
                scratch[b],
            )  # fmt: skip
