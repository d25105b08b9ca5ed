"""M17: how far back the data themselves ask for, before any network reads them: mutual information by lag.

The plug-in estimate I = sum p(x, y) ln(p(x, y) / (p(x) p(y))) is never negative and grows with the classes squared over the
pairs; surrogates without any relation between x and y say how much of it is that. Natural text decays as a power of the lag,
a Markov chain exponentially (Lin & Tegmark 2017). Dependence between single tokens only: an XOR of two has none.
Dimension key: n rows or pairs, L lags, R surrogates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.inspection.jacobians import log_spaced_lags
from rnncli.rnn.packing import Sequences

CLASSES = 256
DENSE_LAGS = 16  # up to here every lag is measured, beyond only those of log_spaced_lags
SURROGATES = 20
PAIRS = 300_000  # measured at each lag at most, evenly spaced among all
MIN_PAIRS = 32  # a lag with fewer is left out
LEVEL = 0.99
ROUNDING = 1e-12  # nats
HISTOGRAM_BINS = 20

Integers = NDArray[np.integer[Any]]
Pairs = Callable[[int], tuple[NDArray[np.int64], NDArray[np.int64]]]  # lag -> classes of both sides


@dataclass(frozen=True)
class Demand:
    """Mutual information by lag in nats, all less the mean of its surrogates."""

    lags_L: NDArray[np.int64]
    pairs_L: NDArray[np.int64]
    value_L: NDArray[np.float64]
    surrogate_mean_L: NDArray[np.float64]  # what was taken away: the bias of the estimate
    surrogate_p99_L: NDArray[np.float64]  # 99 % of data without dependence stay below it at all lags together
    between: str  # what the two sides are

    @property
    def needed_lag(self) -> int | None:
        """The largest measured lag whose information chance does not explain; None where there is none.

        The threshold is that of the largest of all lags, so one false alarm in a hundred data sets, not one in a
        hundred lags. It says that something is there to be learned, not how much: see the value. Lags between the
        measured ones are not looked at.
        """
        above = np.flatnonzero(self.value_L > self.surrogate_p99_L + ROUNDING)
        return int(self.lags_L[above[-1]]) if above.size else None

    def to_json(self) -> dict[str, Any]:
        """The key `data.mi_nats_by_lag` of the report."""
        return {
            "lags": self.lags_L.tolist(),
            "value": self.value_L.tolist(),
            "surrogate_p99": self.surrogate_p99_L.tolist(),
            "pairs": self.pairs_L.tolist(),
            "between": self.between,
            "needed_lag": self.needed_lag,
        }


def length_report(lengths: Integers) -> dict[str, Any]:
    """The key `data.length` of the report: tokens a row; bins [edge, next edge), the last one closed."""
    if lengths.size == 0:
        return {"p50": None, "p90": None, "max": None, "histogram": {"edges": [], "count": []}}
    low, high = int(lengths.min()), int(lengths.max())
    edges = np.unique(np.linspace(low, high + 1, min(HISTOGRAM_BINS, high + 1 - low) + 1).astype(np.int64))
    at = {f"p{round(100 * q)}": int(np.quantile(lengths, q, method="inverted_cdf")) for q in (0.5, 0.9)}
    count = np.histogram(lengths, edges)[0]
    return {**at, "max": high, "histogram": {"edges": edges.tolist(), "count": count.tolist()}}


def classes_of(ids: Integers, kept: int = CLASSES) -> NDArray[np.int64]:
    """Ids as classes 0 .. kept - 1 by falling frequency, ties by rising id; all that have no place share the last one."""
    _, at, counts = np.unique(ids, return_inverse=True, return_counts=True)
    rank = np.empty(counts.size, np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(counts.size)
    return np.minimum(rank, kept - 1)[at.reshape(-1)]


def mutual_information(x_n: NDArray[np.int64], y_n: NDArray[np.int64]) -> float:
    """Plug-in mutual information of two columns of classes from 0 on, nats: H(x) + H(y) - H(x, y)."""
    return _entropy(x_n) + _entropy(y_n) - _joint_entropy(x_n, y_n)


def _joint_entropy(x_n: NDArray[np.int64], y_n: NDArray[np.int64]) -> float:
    return _entropy(x_n * (int(y_n.max()) + 1) + y_n) if y_n.size else 0.0


def _entropy(x_n: NDArray[np.int64]) -> float:
    counts = np.bincount(x_n)
    counts = counts[counts > 0].astype(np.float64)
    return float(np.log(x_n.size) - (counts * np.log(counts)).sum() / x_n.size) if x_n.size else 0.0


def running_demand(ids: Integers, longest: int, *, lags: list[int] | None = None, seed: int = 1) -> Demand:
    """Information between the token at t - d and the token at t of one running text, d = 1 .. longest.

    A language model that reads token t - 1 to foretell token t carries it over d - 1 steps.
    """
    n = int(ids.size)
    return sequence_demand(
        Sequences(np.zeros(1, np.int64), np.array([n]), ids.astype(np.int32)), longest, lags=lags, seed=seed
    )


def sequence_demand(
    data: Sequences,
    longest: int | None = None,
    *,
    labels: Integers | None = None,
    lags: list[int] | None = None,
    seed: int = 1,
) -> Demand:
    """The same within each row of `data`; with `labels` (tokens,) between the token at t - d and the label of token t.

    Labels below 0 are not known, and their places left out. d = 0 is measured only for labels.
    Surrogates rotate one side by a random number of places, rows in random order: neighbouring pairs of a text are alike, and
    a full shuffle, which breaks that too, would call chance dependence (circular surrogates, see Theiler et al. 1992).
    """
    assert data.ids is not None
    sources = classes_of(data.ids)
    targets = sources if labels is None else np.where(labels >= 0, classes_of(labels), -1)
    farthest = int(data.lengths.max()) - 1 if data.n else 0
    farthest = farthest if longest is None else min(longest, farthest)
    order = rng.permutation(rng.key(seed, rng.Stream.SURROGATE), data.n)
    starts, lengths = data.starts[order], data.lengths[order]

    def pairs(lag: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        ends = np.cumsum(np.maximum(lengths - lag, 0))
        chosen = _evenly(int(ends[-1]) if ends.size else 0)
        row = np.searchsorted(ends, chosen, side="right")
        at = starts[row] + chosen - (ends[row] - np.maximum(lengths[row] - lag, 0))
        known = targets[at + lag] >= 0
        return sources[at][known], targets[at + lag][known]

    first = 1 if labels is None else 0
    between = "token and token" if labels is None else "token and label of a token"
    return _measure(pairs, _lags(lags, first, farthest), _rotated, between, seed)


def label_demand(
    data: Sequences, labels: Integers, longest: int | None = None, *, lags: list[int] | None = None, seed: int = 1
) -> Demand:
    """Information between the token d places before the end of a row (0: the last one) and the row's label.

    labels (n,) numbers, or (n, C) of 0 and 1, where each set of labels is a class of its own. Surrogates shuffle the labels.
    """
    assert data.ids is not None
    sources = classes_of(data.ids)
    sets = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1) if labels.ndim == 2 else labels
    classes = classes_of(sets)
    farthest = int(data.lengths.max()) - 1 if data.n else 0
    farthest = farthest if longest is None else min(longest, farthest)
    ends = data.starts + data.lengths - 1

    def pairs(lag: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows = np.flatnonzero(data.lengths > lag)
        rows = rows[_evenly(rows.size)]
        return sources[ends[rows] - lag], classes[rows]

    return _measure(pairs, _lags(lags, 0, farthest), _shuffled, "token and label of the row", seed)


def _evenly(n: int) -> NDArray[np.int64]:
    """Up to PAIRS of n numbers, evenly spaced."""
    count = min(n, PAIRS)
    return np.arange(count, dtype=np.int64) * n // max(count, 1)


def _lags(lags: list[int] | None, first: int, farthest: int) -> list[int]:
    """All lags up to DENSE_LAGS, and log-spaced ones up to the farthest; or those that were asked for."""
    if lags is not None:
        return sorted(lag for lag in set(lags) if first <= lag <= farthest)
    if farthest < first:
        return []
    dense = range(min(DENSE_LAGS, farthest) + 1)
    return sorted(lag for lag in {*dense, *log_spaced_lags(farthest)} if lag >= first)


def _rotated(key: np.uint64, n: int) -> NDArray[np.int64]:
    """0 .. n-1 begun at a random place of the middle half."""
    by = n // 4 + int(rng.uniforms(key, 1)[0] * (n // 2))
    return np.roll(np.arange(n, dtype=np.int64), by)


def _shuffled(key: np.uint64, n: int) -> NDArray[np.int64]:
    return rng.permutation(key, n)


def _measure(
    pairs: Pairs, lags: list[int], surrogate: Callable[[np.uint64, int], NDArray[np.int64]], between: str, seed: int
) -> Demand:
    """Information at each lag against SURROGATES rearrangements of one side, keyed by lag and number."""
    kept, counts, found = [], [], []
    chance_LR = []
    for lag in lags:
        x, y = pairs(lag)
        if x.size < MIN_PAIRS:
            continue
        kept.append(lag)
        counts.append(x.size)
        apart = _entropy(x) + _entropy(y)  # the same for all rearrangements
        found.append(apart - _joint_entropy(x, y))
        keys = [rng.key(seed, rng.Stream.SURROGATE, lag + 1, repeat) for repeat in range(SURROGATES)]
        chance_LR.append([apart - _joint_entropy(x, y[surrogate(key, x.size)]) for key in keys])
    pairs_L = np.array(counts, np.int64)
    chance = np.array(chance_LR).reshape(len(kept), SURROGATES)
    mean_L = chance.mean(axis=1)
    return Demand(
        np.array(kept, np.int64), pairs_L, np.array(found) - mean_L, mean_L, _threshold(chance, pairs_L) - mean_L, between
    )  # fmt: skip


def _threshold(chance_LR: NDArray[np.float64], pairs_L: NDArray[np.int64]) -> NDArray[np.float64]:
    """The 99 % point of the largest of all lags under chance, as one threshold for each lag, (L,) nats.

    Twenty numbers have no 99 % point of their own. Under independence 2 n I is asymptotically chi-square, whose variance
    is twice its mean; so a gamma distribution with the surrogates' mean at the lag, and a variance of phi mean / n with one
    phi for all lags, from all surrogates. Its quantile is Wilson & Hilferty's (1931), at 0.99^(1/L): lags drawn by themselves.
    """
    mean_L: NDArray[np.float64] = chance_LR.mean(axis=1)
    informative = mean_L > 0
    if not informative.any():
        return mean_L
    unit_L = np.where(informative, mean_L, 1.0) / pairs_L
    phi = float((chance_LR.var(axis=1, ddof=1) / unit_L)[informative].mean())
    z = NormalDist().inv_cdf(LEVEL ** (1.0 / mean_L.size)) * np.sqrt(1.0 + 1.0 / SURROGATES)  # the mean is not certain
    spread_L = phi * unit_L / (9.0 * np.where(informative, mean_L, 1.0) ** 2)  # 1 / (9 shape)
    threshold_L: NDArray[np.float64] = mean_L * (1.0 - spread_L + z * np.sqrt(spread_L)) ** 3
    return threshold_L
