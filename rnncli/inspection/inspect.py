"""All measurements of one network on one set of probe sequences, gathered into a result."""

from math import isfinite, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.inspection.adjoints import Adjoints, Array, update_shares, walk_back
from rnncli.inspection.horizons import LEVELS, LagCurve, bootstrap, crossing, lag_curve
from rnncli.inspection.jacobians import log_spaced_lags, product_norms, weight_report
from rnncli.inspection.rollout import Rollout, roll_out
from rnncli.inspection.saturation import saturation_report
from rnncli.inspection.verdict import LN10, Evidence, Thresholds, findings
from rnncli.results import InspectionResult
from rnncli.rnn.network import Network

SCHEMA_VERSION = 1
JACOBIAN_ROWS = 8  # the longest probe sequences: each costs T products of H x H


def inspect(
    network: Network,
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    labels: NDArray[np.int32],
    *,
    need: int | None = None,
    seed: int = 1,
    source: dict[str, Any] | None = None,
) -> InspectionResult:
    """Measure how the loss of each sequence travels back through time.

    ids (tokens,), offsets (n + 1,), labels (n,): the probe sequences, at least one of them not empty. `need` is the lag the
    task needs; None takes the 90th percentile of the distance from a sequence's first token to its read-out.
    """
    rollout = roll_out(network, ids, offsets, labels)
    adjoints = walk_back(rollout.rows, rollout.w_HH)
    curve = lag_curve(adjoints)
    wanted = need if need is not None else percentile_lag(adjoints.lengths_R)
    half_ci, need_ci = bootstrap(adjoints, wanted, seed)
    shares = update_shares(rollout.rows, rollout.w_HH)
    weights = weight_report(rollout.w_HH)
    squash, weight_gain = _mean_gain(adjoints, wanted)
    peak_lag = int(np.nanargmax(np.where(curve.count_L > 0, curve.p50_L, -np.inf)))
    at_need = float(curve.p50_L[wanted]) if wanted < curve.p50_L.size and curve.count_L[wanted] else None
    half_life = crossing(curve.p50_L, LEVELS["half"])
    evidence = Evidence(
        need=wanted,
        pairs_at_need=int(curve.count_L[wanted]) if wanted < curve.count_L.size else 0,
        log_ratio_at_need=at_need,
        interval=need_ci,
        half_life=half_life,
        peak=float(curve.p50_L[peak_lag]),
        peak_lag=peak_lag,
        far_share=float(shares["W_hh"][(wanted + 1) // 2 :].sum()),
        squash=squash,
        weights=weight_gain,
        rho=weights.rho,
        henrici=weights.henrici,
        loss_over_prior=_loss_over_prior(rollout, labels),
    )
    found = findings(evidence)
    verdict = {
        "label": next((f.label for f in found if f.id in ("V7", "V2", "V0")), "none"),
        "severity": max(f.severity for f in found),
        "need_lag_steps": wanted,
        "need_source": "user" if need is not None else "length_p90",
        "ratio_at_need_log10": _log10(at_need),
        "ratio_at_need_log10_ci95": [_log10(v) for v in need_ci] if need_ci else None,
        "half_life_steps": {"value": half_life, "ci95": half_ci},
        "thresholds_version": Thresholds().version,
        "findings": [vars(f) for f in found],
    }
    layer = {
        "layer": 0,
        "direction": "forward",
        "weights": [{"block": "W_hh", **weights.to_json()}],
        "gain_nats_per_step": {"total": squash + weight_gain, "squash": squash, "weights": weight_gain},
        "saturation": saturation_report(
            rollout.a_NH, rollout.h_NH, network.stack.cell.derivative(rollout.a_NH), network.stack.cell.relu
        ),
        "lag": _lag_table(curve, shares),
        "jacobian": _jacobian_table(rollout, weights.sigma_max),
        "horizons_steps": {name: crossing(curve.p50_L, level) for name, level in LEVELS.items()},
    }
    return InspectionResult(
        schema_version=SCHEMA_VERSION,
        input={
            **(source or {}),
            "sequences": len(rollout.rows),
            "longest": int(adjoints.lengths_R.max()),
            "loss_nats": float(rollout.loss_R.mean()),
            "accuracy": rollout.correct_share,
            "dtype": "float64",
        },
        architecture={"cell": network.spec.cell, "hidden": network.spec.hidden_size, "layers": 1, "directions": 1},
        verdict=verdict,
        layers=[layer],
        self_checks={
            "share_sum_error": max(abs(float(s.sum()) - 1.0) if s.any() else 0.0 for s in shares.values()),
            "gain_split_error": _split_error(adjoints),
        },
    )


def percentile_lag(lengths_R: NDArray[np.int64]) -> int:
    """The distance from the first token to the read-out that 90 % of the sequences do not exceed."""
    return int(np.quantile(lengths_R - 1, 0.9, method="inverted_cdf"))


def _mean_gain(adjoints: Adjoints, need: int) -> tuple[float, float]:
    """Mean log gain per step of squashing and of the weights, nats, over the steps up to the needed lag."""
    squash, weights = adjoints.squash_LR[: max(1, need)], adjoints.weights_LR[: max(1, need)]
    there = np.isfinite(squash) & np.isfinite(weights)
    return (float(squash[there].mean()), float(weights[there].mean())) if there.any() else (0.0, 0.0)


def _split_error(adjoints: Adjoints) -> float:
    """How far squash + weights is from the step in the log-norm: exact but for rounding."""
    before, after = adjoints.log_norm_LR[:-1], adjoints.log_norm_LR[1:]
    there = np.isfinite(before) & np.isfinite(after)
    gain = adjoints.squash_LR[:-1][there] + adjoints.weights_LR[:-1][there]
    return float(np.abs(after[there] - before[there] - gain).max(initial=0.0))


def _loss_over_prior(rollout: Rollout, labels: NDArray[np.int32]) -> float | None:
    """Probe loss over the loss of knowing nothing but the label frequencies; None when there is one label."""
    shares = np.bincount(labels) / labels.size
    entropy = -float(sum(p * log(p) for p in shares if p > 0))
    return float(rollout.loss_R.mean()) / entropy if entropy > 0 else None


def _log10(value: float | None) -> float | None:
    """Natural to decimal logarithm; an exact zero (-inf) becomes None: JSON has no infinity."""
    return value / LN10 if value is not None and isfinite(value) else None


def _column(values: Array) -> list[float | None]:
    return [_log10(float(v)) for v in values]


def _lag_table(curve: LagCurve, shares: dict[str, Array]) -> dict[str, Any]:
    return {
        "lags": list(range(curve.count_L.size)),
        "count": [int(c) for c in curve.count_L],
        "ratio_log10": {"p25": _column(curve.p25_L), "p50": _column(curve.p50_L), "p75": _column(curve.p75_L)},
        "grad_norm_log10": _column(curve.log_norm_p50_L),
        "share": {name: [float(v) for v in share] for name, share in shares.items()},
    }


def _jacobian_table(rollout: Rollout, sigma_max: float) -> dict[str, Any]:
    """Spectral norm of P(T, T-l) on the longest sequences, and the bound sigma_max^l (tanh and ReLU: |g'| <= 1)."""
    longest = sorted(rollout.rows, key=lambda row: -row.steps)[:JACOBIAN_ROWS]
    lags = log_spaced_lags(longest[0].steps - 1)
    norms = product_norms(longest, rollout.w_HH, lags)
    medians = [float(np.quantile(row[~np.isnan(row)], 0.5, method="inverted_cdf")) for row in norms]
    bound = log(sigma_max) if sigma_max > 0 else float("-inf")
    return {
        "lags": lags,
        "count": [int((~np.isnan(row)).sum()) for row in norms],
        "norm_log10": [_log10(m) for m in medians],
        "bound_log10": [_log10(lag * bound if lag else 0.0) for lag in lags],
    }
