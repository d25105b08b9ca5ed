"""The bootstrap: how far a statistic moves when the items it was measured on are drawn again, with replacement.

A resample is a row of counts: how often each of the n items was drawn. Draws are a pure function of (seed, resample,
place), so equal seeds give equal intervals, and two models measured on the same items meet the same resamples.

Source   percentile interval: Efron & Tibshirani 1993, "An introduction to the bootstrap", chapter 13; paired
         comparison of two systems: Koehn 2004, "Statistical significance tests for machine translation evaluation".
Shapes   N items, R resamples, M numbers per statistic.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli import rng

COUNTS_AT_ONCE = 1 << 21  # counts of a block of resamples
TAIL = 2.5  # per cent on either side of a 95 % interval

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]  # counts (R, N) -> values (R, M), NaN where undefined


@dataclass(frozen=True)
class Bootstrap:
    """How many resamples, and the seed that names their draws."""

    resamples: int = 1000
    seed: int = 1

    def values(self, statistic: Statistic, n: int) -> Floats:
        """The statistic on every resample of `n` items, (resamples, M)."""
        at_once = max(1, COUNTS_AT_ONCE // max(n, 1))
        firsts = range(0, self.resamples, at_once)
        return np.concatenate([statistic(self._counts(n, i, min(i + at_once, self.resamples))) for i in firsts])

    def interval(self, statistic: Statistic, n: int) -> list[list[float] | None]:
        """The 95 % percentile interval of each of the M numbers, None where no resample defines it."""
        if self.resamples == 0 or n == 0:
            return [None] * statistic(np.ones((1, n))).shape[1]
        return [percentiles(column) for column in self.values(statistic, n).T]

    def _counts(self, n: int, first: int, last: int) -> Floats:
        draws = rng.uniforms(rng.key(self.seed, rng.Stream.BOOTSTRAP), (last - first) * n, start=first * n)
        draws *= n
        places = draws.astype(np.int64).reshape(last - first, n)
        places += np.arange(last - first)[:, None] * n
        counts = np.bincount(places.reshape(-1), minlength=places.size)
        return counts.astype(np.float64).reshape(last - first, n)


def percentiles(values: Floats) -> list[float] | None:
    """The bounds of the middle 95 % of values (R,), NaN left out; None when nothing is left."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, [TAIL, 100.0 - TAIL])
    return [float(low), float(high)]


def means_of(values_NM: Floats) -> Statistic:
    """The statistic "mean of each column"; NaN without items."""

    def statistic(counts_RN: Floats) -> Floats:
        # Whole numbers below 2^53 add up exactly in any order, so no BLAS can change a bit.
        totals: Floats = counts_RN @ values_NM
        return totals / len(values_NM) if len(values_NM) else np.full((len(counts_RN), values_NM.shape[1]), np.nan)

    return statistic


def spearman_of(x: Floats, y: Floats) -> Statistic:
    """The statistic "Spearman's rank correlation" of x (N,) and y (N,), equal values sharing their mean rank.

    It is Pearson's correlation of the ranks; NaN for fewer than two items or where all x or all y are equal. Ranks are
    taken anew in every resample. Source: Spearman 1904; ties as Kendall & Gibbons 1990, section 3.
    """
    x_groups, y_groups = _groups(x), _groups(y)

    def statistic(counts_RN: Floats) -> Floats:
        if not len(x):
            return np.full((len(counts_RN), 1), np.nan)
        rx, ry = _centred_ranks(counts_RN, *x_groups), _centred_ranks(counts_RN, *y_groups)
        covariance, x_variance, y_variance = (
            np.einsum("rn,rn,rn->r", counts_RN, p, q) for p, q in ((rx, ry), (rx, rx), (ry, ry))
        )
        defined = (x_variance > 0) & (y_variance > 0)
        scale = np.sqrt(np.where(defined, x_variance, 1.0)) * np.sqrt(np.where(defined, y_variance, 1.0))
        return np.where(defined, np.clip(covariance / scale, -1.0, 1.0), np.nan)[:, None]

    return statistic


def spearman(x: Floats, y: Floats) -> float | None:
    """Spearman's rank correlation of x (N,) and y (N,); None where it is undefined."""
    value = float(spearman_of(x, y)(np.ones((1, len(x))))[0, 0])
    return None if np.isnan(value) else value


def _groups(x: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The order of the values, where groups of equal ones begin in it, and the group of every value."""
    order = np.argsort(x, kind="stable")
    new = np.ones(len(x), np.bool_)
    new[1:] = np.diff(x[order]) > 0
    group = np.empty(len(x), np.int64)
    group[order] = np.cumsum(new) - 1
    return order, np.flatnonzero(new), group


def _centred_ranks(
    counts_RN: Floats, order: NDArray[np.int64], starts: NDArray[np.int64], group: NDArray[np.int64]
) -> Floats:
    """Mean rank of every item among those drawn, less the mean of all ranks, (R, N)."""
    sizes = np.add.reduceat(counts_RN[:, order], starts, axis=1)
    ranks = np.cumsum(sizes, axis=1) - (sizes - 1.0) / 2.0
    centred: Floats = (ranks - (counts_RN.shape[1] + 1.0) / 2.0)[:, group]
    return centred
