"""Lyapunov exponents along the data (M4) and the sum rule that checks them (M5).

Dimension key: N tokens, R rows, K exponents, n state size.

lambda_1 > 0: two states that differ a little drift apart although both read the same text; then gradients must explode
somewhere (Mikhaeil, Monfared & Durstewitz 2022). The rate at which a typical gradient shrinks is not lambda_1 of a short
text, which is why the verdict rests on the lag curve. A saddle of layers: the Jacobian of stacked layers is block
triangular, so that the exponents of a stack are those of its layers together (M21).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rnncli import rng
from rnncli.inspection.local import Array, log_abs_dets
from rnncli.inspection.rollout import Chain, Ints
from rnncli.kernels import adjoints, tangents

WARM_UP = 0.1  # of a row's steps, while its vectors turn into the directions that grow most
RESAMPLES = 200
FULL_STEPS = 2000  # of rows as a whole, the first of them whatever its length; a full spectrum costs n^3 a step
ROUNDING = float(np.log(2.0**-50))  # a factor so far below the step's largest is rounding where the step is singular


@dataclass(frozen=True)
class Spectrum:
    """Exponents in nats per step, the largest first."""

    values_K: Array
    interval_K2: Array  # 95 %, over resampled rows, or blocks of steps where there are fewer than 8 rows
    steps: int
    warm_up: int  # steps that were left out
    running: list[tuple[int, float]]  # (steps counted, mean of lambda_1 so far)
    sum_rule_error: float | None  # |sum of all exponents - mean log |det A||, where all were measured
    mean_log_det: float | None

    @property
    def kaplan_yorke(self) -> float | None:
        """Kaplan & Yorke's dimension: how many exponents sum to nothing; None where too few were measured."""
        sums = np.cumsum(self.values_K)
        below = np.flatnonzero(sums < 0)
        if below.size == 0:
            return None
        j = int(below[0])
        return 0.0 if j == 0 else j + float(sums[j - 1]) / abs(float(self.values_K[j]))


def begin_vectors(count: int, size: int, seed: int) -> Array:
    """Orthonormal rows (count, size) drawn by the seed."""
    q = rng.normals(rng.key(seed, rng.Stream.PROBE, part=1000), count * size).reshape(count, size)
    tangents.orthonormalise(q, np.empty(count))
    return q


def spectrum(chain: Chain, offsets: Ints, count: int, seed: int) -> Spectrum:
    """The `count` largest exponents of one chain, driven by the probe; all of them along its first FULL_STEPS steps or so."""
    local, n = chain.local, chain.state_size
    count = min(count, n)
    if count == n:
        offsets = offsets[: max(2, int(np.searchsorted(offsets, FULL_STEPS, side="right")))]
    log_r_NK = np.empty((int(offsets[-1]), count))
    tangents.lyapunov(
        log_r_NK, begin_vectors(count, n, seed), local.form, local.alpha_NG, local.beta_NG, local.mix_NH, local.keep_NH,
        local.reset_NH, local.gate_NH, chain.w_hh_GH, offsets,
    )  # fmt: skip
    rounding_NK = log_r_NK < log_r_NK.max(axis=1, keepdims=True) + ROUNDING
    if rounding_NK.any():
        log_r_NK[rounding_NK & singular_steps(chain)[: offsets[-1], None]] = -np.inf
    lengths = np.diff(offsets)
    step_N = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], lengths)
    counted_N = step_N >= np.repeat(np.ceil(WARM_UP * lengths), lengths) if np.any(lengths > 1) else step_N >= 0
    counted = log_r_NK[counted_N]
    with np.errstate(invalid="ignore"):
        values = counted.mean(axis=0)
    error = mean_det = None
    if count == n:
        dets = log_abs_dets(local, chain.w_hh_GH, np.flatnonzero(counted_N))
        mean_det = float(dets.mean()) if np.isfinite(dets).all() else None
        error = abs(float(values.sum()) - mean_det) if mean_det is not None and np.isfinite(values).all() else None
    order = np.argsort(-values, kind="stable")
    return Spectrum(
        values[order], _intervals(log_r_NK, counted_N, offsets, seed)[order], int(counted_N.sum()),
        int((~counted_N).sum()), _running(counted[:, 0]), error, mean_det,
    )  # fmt: skip


def singular_steps(chain: Chain) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Where A_t is singular by what it is made of (N,): an inactive ReLU, an LSTM gate at 0 or a singular U_o."""
    local, size = chain.local, chain.hidden
    if local.form == adjoints.SIMPLE:
        return np.asarray((local.alpha_NG == 0).any(axis=1) | (np.linalg.matrix_rank(chain.w_hh_GH) < size))
    if local.form == adjoints.LSTM:
        zero_N = (local.keep_NH == 0).any(axis=1) | (local.alpha_NG[:, 3 * size :] == 0).any(axis=1)
        return np.asarray(zero_N | (np.linalg.matrix_rank(chain.w_hh_GH[3 * size :]) < size))
    return np.zeros(len(local.alpha_NG), np.bool_)


def _running(log_r_N: Array) -> list[tuple[int, float]]:
    at = np.unique(np.geomspace(1, log_r_N.size, 24).astype(np.int64))
    sums = np.cumsum(log_r_N)
    return [(int(i), float(sums[i - 1] / i)) for i in at]


def _intervals(
    log_r_NK: Array, counted_N: "np.ndarray[tuple[int], np.dtype[np.bool_]]", offsets: Ints, seed: int
) -> Array:
    """Block bootstrap: rows, or pieces of about 16 steps where there are fewer than 8 rows."""
    bounds = offsets
    if offsets.size - 1 < 8:
        bounds = np.unique(np.concatenate([np.append(np.arange(a, b, 16), b) for a, b in pairwise(offsets)]))
    masked = np.where(counted_N[:, None], log_r_NK, 0.0)
    sums = np.add.reduceat(masked, bounds[:-1], axis=0)
    counts = np.add.reduceat(counted_N.astype(np.int64), bounds[:-1])
    blocks = counts.size
    means = np.empty((RESAMPLES, log_r_NK.shape[1]))
    for i in range(RESAMPLES):
        draws = rng.uniforms(rng.key(seed, rng.Stream.PROBE, part=2000 + i), blocks)
        chosen = (draws * blocks).astype(np.int64)
        means[i] = sums[chosen].sum(axis=0) / max(1, int(counts[chosen].sum()))
    with np.errstate(invalid="ignore"):
        return np.quantile(means, [0.025, 0.975], axis=0, method="inverted_cdf").T
