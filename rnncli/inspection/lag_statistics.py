"""What the lag matrix says: the lag curve, its horizons, shares of the update, truncation bias, collapse of directions.

Dimension key: L lags, A adjoints, R rows, D slots of lags, Q blocks, C gates. Logarithms are natural.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.inspection.lag_collector import EMBEDDING, ChainLags
from rnncli.inspection.local import Array
from rnncli.inspection.rollout import BLOCKS, Chain, Ints

FLOAT32_STEP = float(np.log(2.0**-24))  # what is smaller than 2^-24 of a sum is lost when added in float32
UNDERFLOW = float(np.log(2.0**-126))  # the smallest normal float32
LEVELS = {"half": float(np.log(0.5)), "one_percent": float(np.log(0.01)), "float32": FLOAT32_STEP}
BIAS_LEVELS = (0.9, 0.5, 0.1)  # Aicher, Foti & Fox 2019
RESAMPLES = 200


@dataclass(frozen=True)
class Quartiles:
    """Of logarithms over adjoints, lag by lag; -inf is an exact zero, NaN nothing to measure."""

    count_L: NDArray[np.int64]
    p25_L: Array
    p50_L: Array
    p75_L: Array

    def at(self, lag: int) -> float | None:
        """The median at a lag, None where no adjoint goes so far."""
        return float(self.p50_L[lag]) if lag < self.p50_L.size and self.count_L[lag] else None


@dataclass(frozen=True)
class LagCurve(Quartiles):
    """log |delta_{t,t-l}| / |delta_{t,t}| by lag."""

    log_norm_p50_L: Array  # of |delta_{t,t-l}| itself


def quantile(values: Array, q: float) -> float:
    """A quantile that is always one of the values, so that -inf stays -inf and does not become NaN."""
    return float(np.quantile(values, q, method="inverted_cdf"))


def ratios(log_norm_LA: Array) -> Array:
    """log ratio to lag 0, (L, A); NaN where there is no such lag or no gradient at all."""
    first = log_norm_LA[0]
    with np.errstate(invalid="ignore"):
        return np.asarray(log_norm_LA - np.where(np.isfinite(first), first, np.nan))


def quartiles(values_LA: Array) -> Quartiles:
    """Over the adjoints that are not NaN, with their count."""
    count = np.zeros(len(values_LA), np.int64)
    p25, p50, p75 = (np.full(len(values_LA), np.nan) for _ in range(3))
    for lag, row in enumerate(values_LA):
        there = row[~np.isnan(row)]
        count[lag] = there.size
        if there.size:
            p25[lag], p50[lag], p75[lag] = (quantile(there, q) for q in (0.25, 0.5, 0.75))
    return Quartiles(count, p25, p50, p75)


def lag_curve(log_norm_LA: Array) -> LagCurve:
    """The lag curve G (M7) of one chain."""
    ratio_LA = ratios(log_norm_LA)
    norms = quartiles(np.where(np.isnan(ratio_LA), np.nan, log_norm_LA))
    return LagCurve(**vars(quartiles(ratio_LA)), log_norm_p50_L=norms.p50_L)


def input_shares(input_log_LA: Array) -> Array:
    """log of |dL_t/dx_{t-l}|^2 over its sum over all lags, (L, A): how much of all that a loss hears of its inputs.

    Plain shares sum to 1 over an adjoint's lags. NaN where there is no such lag or the loss hears nothing.
    """
    top = np.nanmax(np.where(np.isnan(input_log_LA), -np.inf, input_log_LA), axis=0, initial=-np.inf)
    relative = 2.0 * (input_log_LA - np.where(np.isfinite(top), top, np.nan))
    with np.errstate(divide="ignore"):
        return np.asarray(relative - np.log(np.nansum(np.exp(relative), axis=0)))


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


def tail_rate(p50_L: Array) -> float | None:
    """Slope of the curve's second half in nats per step (Theil-Sen: the median of all slopes); None below 4 points."""
    finite = np.flatnonzero(np.isfinite(p50_L))
    tail = finite[finite >= finite.size // 2]
    if tail.size < 4:
        return None
    tail = tail[:: max(1, tail.size // 64)]
    i, j = np.triu_indices(tail.size, 1)
    return float(np.median((p50_L[tail[j]] - p50_L[tail[i]]) / (tail[j] - tail[i])))


@dataclass(frozen=True)
class Intervals:
    """95 % intervals over resampled sequences."""

    half_life: list[float] | None  # None: not reached in some resample
    at_need: list[float] | None
    gain: list[float] | None
    input_share: list[float] | None  # at the needed lag


def bootstrap(lags: ChainLags, need: int, seed: int) -> Intervals:
    """Of the half-life, and up to or at the lag `need` of log R, the mean gain per step and the share of the inputs.

    Sequences are drawn, not adjoints.
    """
    ratio_LA = ratios(lags.log_norm_LA)
    rows = np.unique(lags.row_A)
    columns = [np.flatnonzero(lags.row_A == row) for row in rows]
    gain = lags.total_LA[: max(1, need)]
    finite = np.isfinite(gain)
    gain_R = np.array([gain[:, c][finite[:, c]].sum() for c in columns])
    steps_R = np.array([finite[:, c].sum() for c in columns])
    at_need = [_at(ratio_LA, need, c) for c in columns]
    share_LA = input_shares(lags.input_log_LA)
    heard = [_at(share_LA, need, c) for c in columns]
    halves: list[float | None] = []
    medians: list[float] = []
    gains: list[float] = []
    shares_heard: list[float] = []
    for i in range(RESAMPLES):
        draws = rng.uniforms(rng.key(seed, rng.Stream.PROBE, part=i + 1), rows.size)
        chosen = (draws * rows.size).astype(np.int64)
        halves.append(crossing(_medians(ratio_LA[:, np.concatenate([columns[c] for c in chosen])]), LEVELS["half"]))
        for values_R, found in ((at_need, medians), (heard, shares_heard)):
            values = np.concatenate([values_R[c] for c in chosen])
            if values.size:
                found.append(quantile(values, 0.5))
        if steps_R[chosen].sum():
            gains.append(float(gain_R[chosen].sum() / steps_R[chosen].sum()))
    reached = [value for value in halves if value is not None]
    half = _interval(reached) if len(reached) == len(halves) else None
    return Intervals(half, _interval(medians), _interval(gains), _interval(shares_heard))


def _at(values_LA: Array, lag: int, columns: NDArray[np.int64]) -> Array:
    """What some adjoints have at a lag."""
    if lag >= len(values_LA):
        return np.zeros(0)
    values = values_LA[lag, columns]
    return np.asarray(values[~np.isnan(values)])


def _medians(ratio_LA: Array) -> Array:
    """Median over adjoints that have the lag, up to the first lag that none has or where half is surely passed."""
    medians = np.full(ratio_LA.shape[0], np.nan)
    for lag in range(ratio_LA.shape[0]):
        there = ratio_LA[lag][~np.isnan(ratio_LA[lag])]
        if there.size == 0:
            break
        medians[lag] = quantile(there, 0.5)
        if medians[lag] < LEVELS["half"]:
            break
    return medians


def _interval(values: list[float]) -> list[float] | None:
    return None if not values else [quantile(np.array(values), 0.025), quantile(np.array(values), 0.975)]


def shares(lags: ChainLags) -> tuple[dict[str, Array], Array]:
    """s_l = <G_l, G> / |G|^2 by block, and of W_hh by gate (C, L). They sum to 1; a negative share pulls against the sum."""
    names = (*BLOCKS, EMBEDDING)
    by_block, by_gate = {}, np.zeros(lags.share_QCL.shape[1:])
    for q, share_CL in enumerate(lags.share_QCL):
        total = share_CL.sum()  # |G|^2
        if total > 0:
            by_block[names[q]] = share_CL.sum(axis=0) / total
            by_gate = share_CL / total if q == 0 else by_gate
        else:
            by_block[names[q]] = np.zeros(share_CL.shape[1])
    return by_block, by_gate


@dataclass(frozen=True)
class Truncation:
    """What is lost when gradients stop after tau steps (Aicher, Foti & Fox 2019): exact, at the ends of slots of lags."""

    steps_D: Ints  # tau
    bias: dict[str, Array]  # |G - sum_{l < tau} G_l| / |G| by block, and of all together
    cosine: dict[str, Array]  # between the truncated gradient and G


def truncation(lags: ChainLags, edges: Ints) -> Truncation:
    """b(tau) of each block; `edges` as lag_collector.lag_slots gave them."""
    rest, dots, sizes, squares = {}, {}, {}, {}
    for name, slots in lags.sum_QGI.items():
        flat = slots.reshape(slots.shape[0], -1)
        whole, part = flat.sum(axis=0), np.cumsum(flat, axis=0)
        squares[name] = float(whole @ whole)
        after = np.cumsum(flat[::-1], axis=0)[::-1]  # summed from the far end: small numbers keep their digits
        rest[name] = np.array([float((row**2).sum()) for row in after[1:]] + [0.0])
        dots[name] = part @ whole
        sizes[name] = (part**2).sum(axis=1)
    for table in (rest, dots, sizes):
        table["all"] = np.sum(list(table.values()), axis=0)
    squares["all"] = sum(squares.values())
    bias, cosine = {}, {}
    for name, square in squares.items():
        bias[name] = np.sqrt(rest[name] / square) if square > 0 else np.zeros(edges.size - 1)
        length = np.sqrt(sizes[name] * square)
        cosine[name] = np.divide(dots[name], length, out=np.zeros_like(length), where=length > 0)
    return Truncation(edges[1:], bias, cosine)


def bias_horizon(found: Truncation, level: float) -> int | None:
    """tau*: the smallest measured tau from which on the bias of all parameters stays at most `level`."""
    above = np.flatnonzero(found.bias["all"] > level)
    after = int(above[-1]) + 1 if above.size else 0
    return int(found.steps_D[after]) if after < found.steps_D.size else None


def participation(unit_LSn: Array) -> Array:
    """Participation ratio (sum s^2)^2 / sum s^4 of the singular values of sampled unit adjoints, lag by lag (L,).

    1: every error arrives in the same direction, and carries one number. NaN where fewer than two are left.
    """
    result = np.full(unit_LSn.shape[0], np.nan)
    for lag, units in enumerate(unit_LSn):
        there = units[units.any(axis=1)]
        if len(there) >= 2:
            gram = np.einsum("ai,bi->ab", there, there) if len(there) < there.shape[1] else there.T @ there
            result[lag] = len(there) ** 2 / float((gram * gram).sum())
    return result


def sum_error(chain: Chain, lags: ChainLags) -> float:
    """How far the sum over lags is from the gradient that training uses: |sum_l G_l - G| / |G|, the largest of all blocks."""
    worst = 0.0
    for name, slots in lags.sum_QGI.items():
        whole = chain.gradients[name]
        size = float(np.sqrt((whole**2).sum()))
        if size > 0:
            worst = max(worst, float(np.sqrt(((slots.sum(axis=0) - whole) ** 2).sum())) / size)
    return worst


def share_error(chain: Chain, lags: ChainLags) -> float:
    """How far shares are from summing to 1, with |G|^2 from the training kernels; the largest of all blocks."""
    worst = 0.0
    for q, name in enumerate(BLOCKS):
        square = float((chain.gradients[name] ** 2).sum())
        if name == "b" and "b_hn" in chain.gradients:
            square += float((chain.gradients["b_hn"] ** 2).sum())
        if square > 0:
            worst = max(worst, abs(float(lags.share_QCL[q].sum()) / square - 1.0))
    return worst
