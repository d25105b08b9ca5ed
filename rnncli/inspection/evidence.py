"""From measurements to the numbers that a verdict rests on."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np

from rnncli.inspection import sections
from rnncli.inspection.calibration import calibration
from rnncli.inspection.context_use import ContextUse
from rnncli.inspection.demand import Demand
from rnncli.inspection.jacobians import log_spaced_lags
from rnncli.inspection.lag_collector import ChainLags
from rnncli.inspection.lag_matrix import window_begins
from rnncli.inspection.lag_statistics import (
    LEVELS,
    Intervals,
    LagCurve,
    Quartiles,
    Truncation,
    bias_horizon,
    crossing,
    shares,
)
from rnncli.inspection.lyapunov import Spectrum
from rnncli.inspection.norms import NormReport
from rnncli.inspection.probe import Probe
from rnncli.inspection.rollout import Chain, Rollout
from rnncli.inspection.verdict import Evidence

LEAST_BATCHES = 10  # fewer say nothing about how often a threshold acts


@dataclass(frozen=True)
class ChainFound:
    """What was measured of one chain."""

    chain: Chain
    lags: ChainLags
    curve: LagCurve
    heard: Quartiles  # share of each lag in what a loss hears of the inputs
    intervals: Intervals
    truncation: Truncation | None
    spectrum: Spectrum | None
    weights: list[dict[str, Any]]

    @property
    def half_life(self) -> float | None:
        return crossing(self.curve.p50_L, LEVELS["half"])

    def log_ratio(self, need: int) -> float | None:
        """log R(need), None where no adjoint goes so far."""
        return self.curve.at(need)


def sampled_lags(longest: int, need: int) -> tuple[int, ...]:
    """Lags whose adjoints are sampled for M11."""
    return tuple(sorted({lag for lag in (*log_spaced_lags(longest - 1), need) if lag < longest}))


def gather(
    probe: Probe,
    rollout: Rollout,
    found: list[ChainFound],
    need: int,
    demand: Demand | None,
    used: ContextUse | None,
    norms: NormReport | None,
    moved: dict[str, float | None] | None,
) -> Evidence:
    """Of the first layer, whose adjoint has come through all others; of its directions the one that reaches least far."""
    first = [i for i, one in enumerate(found) if one.chain.place.layer == 0]

    def reach(i: int) -> float:
        value = found[i].log_ratio(need)
        return value if value is not None else float("inf")

    worst = min(first, key=reach)
    one = found[worst]
    direct, weights = sections.mean_gain(one.lags, need)
    peaks = [float(np.nanmax(np.where(f.curve.count_L > 0, f.curve.p50_L, -np.inf))) for f in found]
    peak_layer = int(np.argmax(peaks))
    curve = found[peak_layer].curve.p50_L
    top = [(f.spectrum.values_K[0], i) for i, f in enumerate(found) if f.spectrum is not None]
    lambda_1, lambda_layer = max(top) if top else (None, 0)
    interval = found[lambda_layer].spectrum.interval_K2[0] if top else None  # type: ignore[union-attr]
    bptt = probe.training_bptt
    cut = one.truncation
    reached = np.flatnonzero(found[lambda_layer].curve.count_L >= calibration().thresholds.pairs)
    report = norms.to_json() if norms is not None else None
    # tables are read by few rows: their ratio says less
    moves = [
        r
        for name, r in (moved or {}).items()
        if r is not None and name in probe.network.dense.slots and "bias" not in name
    ]
    loss = float(rollout.loss_M.mean())
    return Evidence(
        need=need,
        pairs_at_need=int(one.curve.count_L[need]) if need < one.curve.count_L.size else 0,
        log_ratio_at_need=one.log_ratio(need),
        interval=one.intervals.at_need,
        half_life=one.half_life,
        peak=peaks[peak_layer],
        peak_lag=int(np.nanargmax(np.where(found[peak_layer].curve.count_L > 0, curve, -np.inf))),
        peak_layer=peak_layer,
        far_share=float(shares(one.lags)[0]["W_hh"][(need + 1) // 2 :].sum()) if one.lags.share_QCL.any() else None,
        squash=direct,
        weights=weights,
        gated=len(one.weights) > 1,
        rho=one.weights[-1]["rho"],
        henrici=max(w["henrici"] for w in found[peak_layer].weights),
        layer=worst,
        dead_f32=_dead(one.chain),
        solved=loss < calibration().thresholds.solved_loss * probe.prior_loss if probe.prior_loss else None,
        context=(used.reach_absolute or used.reach_relative) if used is not None else None,
        context_gain="0.01 nat" if used is not None and used.reach_absolute else "1 % of what context gains in all",
        bptt_steps=bptt[0] if bptt else None,
        at_ends=probe.bptt_at_ends,
        coverage=window_coverage(rollout, need, bptt) if bptt and not probe.bptt_at_ends else None,
        bias_at_bptt=_bias_at(cut, bptt[0]) if bptt and cut is not None else None,
        bias_horizon=bias_horizon(cut, 0.1) if cut is not None else None,
        lambda_1=float(lambda_1) if lambda_1 is not None and isfinite(lambda_1) else None,
        lambda_layer=lambda_layer,
        lambda_interval=(float(interval[0]), float(interval[1])) if interval is not None else None,
        longest=int(reached[-1]) if reached.size else 0,
        silent=_silent(rollout, one),
        norm_spread=report["global"]["max_over_median"] if report else None,
        nonfinite=report["global"]["nonfinite"] if report else 0,
        clip_type=report["clip"]["type"] if report else None,
        clip_fraction=report["clip"]["fraction"] if report and report["steps"] >= LEAST_BATCHES else None,
        clip_suggested=report["clip"]["suggested"] if report else None,
        participation=_participation(one, rollout, need),
        update_ratio=max(moves) if moves else None,
        demand=demand.needed_lag if demand is not None else None,
        outlook=_outlook(probe, one.heard.at(need)),
    )


def _outlook(probe: Probe, log_share: float | None) -> str | None:
    """Only of first values: the calibration knows nothing of networks that have learned."""
    if probe.trained or probe.training is None or log_share is None:
        return None
    return calibration().outlook(probe.network.spec.cell, probe.training.optimizer, log_share)


def window_coverage(rollout: Rollout, need: int, window: tuple[int, int]) -> float | None:
    """Share of the pairs `need` steps apart that windows of (steps, stride) hold; 1 - need / steps where none overlap."""
    steps = np.concatenate([np.arange(n) for n in rollout.lengths])
    apart = steps[steps >= need]
    return float((apart - need >= window_begins(apart, *window)).mean()) if apart.size else None


def _silent(rollout: Rollout, one: ChainFound) -> Literal["head", "losses", "layers"] | None:
    """What gives no gradient at all, where a chain has none at any lag; None where it has one."""
    if np.isfinite(one.lags.log_norm_LA).any():
        return None
    if rollout.direct_NO.any():
        return "layers"
    network = rollout.network
    return "losses" if network.readout.weight(network.dense, network.tables).any() else "head"


def _bias_at(cut: Truncation, steps: int) -> float | None:
    """b(tau) at the largest measured tau that is not above `steps`."""
    at = int(np.searchsorted(cut.steps_D, steps, side="right")) - 1
    return float(cut.bias["all"][at]) if at >= 0 else None


def _participation(one: ChainFound, rollout: Rollout, need: int) -> float | None:
    if not one.lags.unit_LSn.size or need >= int(rollout.lengths.max()):
        return None
    longest = int(rollout.lengths.max())
    sampled = sampled_lags(longest, need)
    value: float | None = sections.collapse(one.lags, sampled)["value"][sampled.index(need)]
    return value


def _dead(chain: Chain) -> int:
    return int(sections.activity(chain)["saturation"].get("dead_f32_units", 0))
