"""The lag curve over probe sequences and the lags where it crosses what matters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.inspection.adjoints import Adjoints, Array

FLOAT32_STEP = float(np.log(2.0**-24))  # what is smaller than 2^-24 of a sum is lost when added in float32
LEVELS = {"half": float(np.log(0.5)), "one_percent": float(np.log(0.01)), "float32": FLOAT32_STEP}
RESAMPLES = 200


@dataclass(frozen=True)
class LagCurve:
    """log |dL/dh_{T-l}| / |dL/dh_T| by lag, natural logs; -inf is an exact zero, NaN nothing to measure."""

    count_L: NDArray[np.int64]
    p25_L: Array
    p50_L: Array
    p75_L: Array
    log_norm_p50_L: Array  # of |dL/dh_{T-l}| itself


def quantile(values: Array, q: float) -> float:
    """A quantile that is always one of the values, so that -inf stays -inf and does not become NaN."""
    return float(np.quantile(values, q, method="inverted_cdf"))


def ratios(adjoints: Adjoints) -> Array:
    """log ratio to lag 0, (lags, R); NaN where a row has no such lag or no gradient at all."""
    first = adjoints.log_norm_LR[0]
    with np.errstate(invalid="ignore"):
        return np.asarray(adjoints.log_norm_LR - np.where(np.isfinite(first), first, np.nan))


def lag_curve(adjoints: Adjoints) -> LagCurve:
    """Quartiles over rows, with their count, lag by lag."""
    ratio_LR = ratios(adjoints)
    lags = ratio_LR.shape[0]
    count, p25, p50, p75, norm = np.zeros(lags, np.int64), *(np.full(lags, np.nan) for _ in range(4))
    for lag in range(lags):
        there = ~np.isnan(ratio_LR[lag])
        count[lag] = there.sum()
        if count[lag]:
            p25[lag], p50[lag], p75[lag] = (quantile(ratio_LR[lag][there], q) for q in (0.25, 0.5, 0.75))
            norm[lag] = quantile(adjoints.log_norm_LR[lag][there], 0.5)
    return LagCurve(count, p25, p50, p75, norm)


def crossing(p50_L: Array, level: float) -> float | None:
    """The lag where the curve first falls below `level`, interpolated in the logarithm; None when it does not."""
    below = np.flatnonzero(p50_L < level)
    if below.size == 0:
        return None
    after = int(below[0])
    if after == 0 or not np.isfinite(p50_L[after]):
        return float(after)
    low, high = p50_L[after - 1], p50_L[after]
    return float(after - 1 + (low - level) / (low - high))


def bootstrap(adjoints: Adjoints, need: int, seed: int) -> tuple[list[float] | None, list[float] | None]:
    """95 % intervals over resampled rows: of the half-life (None: not reached in some resample), of log R(need)."""
    ratio_LR = ratios(adjoints)
    usable = np.flatnonzero(~np.isnan(ratio_LR[0]))
    at_need = ratio_LR[need][~np.isnan(ratio_LR[need])] if need < ratio_LR.shape[0] else np.zeros(0)
    halves: list[float | None] = []
    medians: list[float] = []
    for i in range(RESAMPLES):
        draws = rng.uniforms(rng.key(seed, rng.Stream.PROBE, part=i + 1), usable.size + at_need.size)
        rows = usable[(draws[: usable.size] * usable.size).astype(np.int64)]
        if rows.size:
            halves.append(crossing(_medians(ratio_LR[:, rows]), LEVELS["half"]))
        if at_need.size:
            medians.append(quantile(at_need[(draws[usable.size :] * at_need.size).astype(np.int64)], 0.5))
    reached = [value for value in halves if value is not None]
    half = _interval(reached) if reached and len(reached) == len(halves) else None
    return half, _interval(medians) if medians else None


def _medians(ratio_LR: Array) -> Array:
    """Median over rows that have the lag, stopping at the first lag that none has or where half is surely passed."""
    medians = np.full(ratio_LR.shape[0], np.nan)
    for lag in range(ratio_LR.shape[0]):
        there = ratio_LR[lag][~np.isnan(ratio_LR[lag])]
        if there.size == 0:
            break
        medians[lag] = quantile(there, 0.5)
        if medians[lag] < LEVELS["half"]:
            break
    return medians


def _interval(values: list[float]) -> list[float]:
    return [quantile(np.array(values), 0.025), quantile(np.array(values), 0.975)]
