"""Adjoints of the last step, carried back through time as unit vectors and log-norms.

Dimension key: R rows (probe sequences), T steps, H hidden; lag l = T - k counts steps back from a row's last one.

    delta_{T,T} = dL/dh_T,   delta_{T,k-1} = W_hh^T D_k delta_{T,k},   D_k = diag(g'(a_k))
(Pascanu, Mikolov & Bengio 2013, eq. 5, with the factors D kept.) A norm is exp(log_norm): 10^-412 stays 10^-412 and never
becomes 0 or infinite. One step's gain splits exactly into squashing and weights:

    log |W^T D delta| / |delta|  =  log |D delta| / |delta|  +  log |W^T D delta| / |D delta|
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.kernels.matmul import add_product, add_product_of_transpose

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """What one row left behind on its way forward, in float64."""

    d_TH: Array  # g'(a_t)
    h_before_TH: Array  # h_{t-1}, zero at t = 1
    x_TI: Array
    last_H: Array  # dL/dh_T

    @property
    def steps(self) -> int:
        return int(self.d_TH.shape[0])


@dataclass(frozen=True)
class Adjoints:
    """delta_{T,T-l} of every row, by lag; NaN where a row has no such lag, -inf where an adjoint is exactly zero."""

    lengths_R: NDArray[np.int64]
    log_norm_LR: Array  # natural log of |dL/dh_{T-l}|
    squash_LR: Array  # log gain of D at the step from lag l to l + 1, nats
    weights_LR: Array  # log gain of W^T at the same step, nats


def multiply(a_RH: Array, b_HH: Array) -> Array:
    """a b with this project's own product: its order of sums does not depend on anything else that runs."""
    out = np.zeros((a_RH.shape[0], b_HH.shape[1]))
    add_product(out, np.ascontiguousarray(a_RH), b_HH)
    return out


def _unit(x_RH: Array) -> tuple[Array, Array]:
    """Unit vectors and log-norms of rows; a zero row stays zero and has log-norm -inf."""
    largest = np.abs(x_RH).max(axis=1)
    safe = np.where(largest > 0, largest, 1.0)
    scaled = x_RH / safe[:, None]
    norm = np.sqrt((scaled * scaled).sum(axis=1))
    unit = scaled / np.where(norm > 0, norm, 1.0)[:, None]
    with np.errstate(divide="ignore"):
        return unit, np.where(largest > 0, np.log(safe) + np.log(norm), -np.inf)


class BackwardWalk:
    """All rows walk back together, one lag at a time; iterate to see (lag, rows that have it, unit delta, log-norm)."""

    def __init__(self, rows: list[Trajectory], w_HH: Array) -> None:
        self.rows, self.w_HH = rows, w_HH
        self.lengths = np.array([row.steps for row in rows], np.int64)
        lags = int(self.lengths.max(initial=0))
        self.log_norm = np.full((lags, len(rows)), np.nan)
        self.squash = np.full((lags, len(rows)), np.nan)
        self.weights = np.full((lags, len(rows)), np.nan)

    def __iter__(self) -> Any:
        """Yield (lag, alive, unit_RH, log_norm_R, d_RH) for lag 0, 1, ... of the rows numbered `alive`."""
        alive = np.arange(len(self.rows))
        unit, log_norm = _unit(np.array([row.last_H for row in self.rows]))
        for lag in range(self.log_norm.shape[0]):
            has = self.lengths[alive] > lag
            alive, unit, log_norm = alive[has], unit[has], log_norm[has]
            d_RH = np.array([self.rows[r].d_TH[self.rows[r].steps - 1 - lag] for r in alive])
            self.log_norm[lag, alive] = log_norm
            yield lag, alive, unit, log_norm, d_RH
            squashed, squash_gain = _unit(unit * d_RH)
            moved, weight_gain = _unit(multiply(squashed, self.w_HH))
            self.squash[lag, alive], self.weights[lag, alive] = squash_gain, weight_gain
            unit, log_norm = moved, log_norm + squash_gain + weight_gain

    def result(self) -> Adjoints:
        """Everything seen; call it after the walk."""
        return Adjoints(self.lengths, self.log_norm, self.squash, self.weights)


def walk_back(rows: list[Trajectory], w_HH: Array) -> Adjoints:
    """Adjoints of all rows at all lags; w_HH is W_hh (H, H)."""
    walk = BackwardWalk(rows, w_HH)
    for _ in walk:
        pass
    return walk.result()


def update_shares(rows: list[Trajectory], w_HH: Array) -> dict[str, Array]:
    """Share of each lag in the gradient of W_hh, W_xh and b_h: s_l = <G_l, G> / |G|^2, which sum to 1.

    G_l = mean over rows of da_{T,T-l} [h_{T-l-1}; x_{T-l}; 1]^T, G = sum_l G_l. A share may be negative: that lag pulls
    against the sum. Two walks: one for G, one for the inner products <G_l, G> = da . (G h), without an H x H array a lag.
    """
    h_size, i_size = w_HH.shape[0], rows[0].x_TI.shape[1]
    totals = {"W_hh": np.zeros((h_size, h_size)), "W_xh": np.zeros((h_size, i_size)), "b_h": np.zeros((h_size, 1))}
    for _, sources, da_RH in _contributions(rows, w_HH):
        for name, total in totals.items():
            add_product_of_transpose(total, da_RH, sources[name])
    lags = max(row.steps for row in rows)
    shares = {name: np.zeros(lags) for name in totals}
    for lag, sources, da_RH in _contributions(rows, w_HH):
        for name, total in totals.items():
            shares[name][lag] = float((da_RH * multiply(sources[name], np.ascontiguousarray(total.T))).sum())
    for name, total in totals.items():
        square = float((total * total).sum())
        shares[name] = shares[name] / square if square > 0 else shares[name]
    return shares


def _contributions(rows: list[Trajectory], w_HH: Array) -> Any:
    """Yield (lag, inputs of each parameter (R, .), da (R, H)) of the mean loss over rows."""
    for lag, alive, unit, log_norm, d_RH in BackwardWalk(rows, w_HH):
        da_RH = unit * d_RH * np.exp(log_norm)[:, None] / len(rows)
        at = [(rows[r], rows[r].steps - 1 - lag) for r in alive]
        sources = {
            "W_hh": np.array([row.h_before_TH[t] for row, t in at]),
            "W_xh": np.array([row.x_TI[t] for row, t in at]),
            "b_h": np.ones((len(at), 1)),
        }
        yield lag, sources, da_RH
