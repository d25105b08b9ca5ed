"""The parts of the JSON document, each from what was measured; keys are described in docs/gradients.md.

Logarithms become decimal here; NaN and infinity become null: JSON has neither.
"""

from math import isfinite, log
from typing import Any

import numpy as np

from rnncli.inspection.activity import gate_report, saturation_report, timescales
from rnncli.inspection.jacobians import (
    affordable_rows,
    chain_weights,
    log_spaced_lags,
    product_norms,
    pseudospectrum,
    transient,
)
from rnncli.inspection.lag_collector import ChainLags, lag_slots
from rnncli.inspection.lag_statistics import (
    BIAS_LEVELS,
    LEVELS,
    UNDERFLOW,
    LagCurve,
    Quartiles,
    Truncation,
    bias_horizon,
    crossing,
    participation,
    quantile,
    ratios,
    shares,
    tail_rate,
)
from rnncli.inspection.local import GATE_NAMES, Array
from rnncli.inspection.lyapunov import Spectrum
from rnncli.inspection.noise_scale import noise_scale
from rnncli.inspection.rollout import Chain, Rollout

LN10 = log(10.0)
PRODUCT_ROWS = 8  # the longest probe sequences
MATRIX_STEPS = 128  # of the lag matrix that is shown
EXAMPLES = 3  # sequences of the sentence view


def number(value: float | None) -> float | None:
    """A finite number or None."""
    return float(value) if value is not None and isfinite(value) else None


def log10(value: float | None) -> float | None:
    """Natural to decimal logarithm; an exact zero (-inf) becomes None."""
    return value / LN10 if value is not None and isfinite(value) else None


def column(values: Array) -> list[float | None]:
    """The same of many."""
    return [log10(float(v)) for v in values]


def pair(interval: list[float] | None) -> list[float | None] | None:
    """The same of an interval's ends."""
    return [log10(v) for v in interval] if interval else None


def numbers(values: Array) -> list[float | None]:
    """Finite numbers or None."""
    return [number(float(v)) for v in values]


def weights(chain: Chain, longest: int, deep: bool) -> list[dict[str, Any]]:
    """M0 of each recurrent block."""
    lags = [lag for lag in log_spaced_lags(longest) if lag <= 1000]
    found = []
    blocks = chain.w_hh_GH.reshape(-1, chain.hidden, chain.hidden)
    for w, r in zip(blocks, chain_weights(chain), strict=True):
        curve = transient(w, lags)
        peak = int(np.argmax(curve))
        block = {
            "block": r.block,
            "rho": r.rho,
            "rho_reliable": r.rho_reliable,
            "sigma_max": r.sigma_max,
            "sigma_min": r.sigma_min,
            "condition_log10": log10(log(r.sigma_max / r.sigma_min)) if r.sigma_min > 0 else None,
            "rms_gain": r.rms_gain,
            "henrici": r.henrici,
            "numerical_abscissa": r.numerical_abscissa,
            "eigenvalues": [[float(z.real), float(z.imag)] for z in r.eigenvalues],
            "transient": {
                "lags": lags,
                "norm_log10": column(curve),
                "peak_log10": log10(float(curve[peak])),
                "peak_lag": lags[peak],
            },
        }
        if deep and len(blocks) == 1:
            block["pseudospectrum"] = pseudospectrum(w)
        found.append(block)
    return found


def mean_gain(lags: ChainLags, need: int) -> tuple[float, float]:
    """Mean log gain per step of the part that no recurrent weight touches and of the weights, up to the needed lag; nats.

    NaN where no step passes anything.
    """
    direct, total = lags.direct_LA[: max(1, need)], lags.total_LA[: max(1, need)]
    there = np.isfinite(direct) & np.isfinite(total)
    if not there.any():
        return float("nan"), float("nan")
    first = float(direct[there].mean())
    return first, float(total[there].mean()) - first


def gain(chain: Chain, lags: ChainLags, need: int, interval: list[float] | None) -> dict[str, Any]:
    """M1. `squash` for simple cells, `carry` (the path through the keeping gate) for gated ones."""
    direct, through_weights = mean_gain(lags, need)
    name = "squash" if chain.cell not in GATE_NAMES else "carry"
    return {
        "total": number(direct + through_weights),
        name: number(direct),
        "weights": number(through_weights),
        "ci95": interval,
    }


def lag_table(
    chain: Chain, lags: ChainLags, curve: LagCurve, heard: Quartiles, sigma_max: float, rho: float
) -> dict[str, Any]:
    """M6-M8, M11, M12 lag by lag."""
    count = curve.count_L.size
    by_block, by_gate = shares(lags)
    steps = np.arange(count)
    table: dict[str, Any] = {
        "lags": steps.tolist(),
        "count": curve.count_L.tolist(),
        "ratio_log10": quartile_columns(curve),
        "input_share_log10": quartile_columns(heard),
        "grad_norm_log10": column(curve.log_norm_p50_L),
        "tail_rate_nats_per_step": tail_rate(curve.p50_L),
        "share": {name: share.tolist() for name, share in by_block.items()},
    }
    if chain.cell in GATE_NAMES:
        table["share_by_gate"] = {g: by_gate[i].tolist() for i, g in enumerate(GATE_NAMES[chain.cell])}
        table["cell_path"] = _cell_path(lags)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 times log 0 at lag 0
            table["product_bound_log10"] = column(np.where(steps > 0, steps * np.log(sigma_max), 0.0))
            table["rho_log10"] = column(np.where(steps > 0, steps * np.log(rho), 0.0))
    return table


def quartile_columns(found: Quartiles) -> dict[str, list[float | None]]:
    """Quartiles by lag."""
    return {"p25": column(found.p25_L), "p50": column(found.p50_L), "p75": column(found.p75_L)}


def _cell_path(lags: ChainLags) -> dict[str, Any]:
    """M12: how much of the adjoint came along the gate's path alone (the highway), and its cosine with the whole."""
    with np.errstate(invalid="ignore"):
        share = lags.cell_log_LA - lags.log_norm_LA
    medians, cosines = [], []
    for row, cos in zip(share, lags.cell_cos_LA, strict=True):
        there = ~np.isnan(row)
        medians.append(quantile(row[there], 0.5) if there.any() else float("nan"))
        cosines.append(float(np.median(cos[there])) if there.any() else float("nan"))
    return {"share_log10": column(np.array(medians)), "cosine": numbers(np.array(cosines))}


def collapse(lags: ChainLags, sampled: tuple[int, ...]) -> dict[str, Any]:
    """M11 at the sampled lags."""
    values = participation(lags.unit_LSn)
    return {"lags": list(sampled[: values.size]), "value": numbers(values)}


def noise(lags: ChainLags, longest: int) -> dict[str, Any]:
    """M10, from what noise_scale measured."""
    found = noise_scale(lags)
    return {
        "lags": lag_slots(longest)[:-1].tolist(),
        "sequences": int(lags.square_DR.shape[1]),
        "signal_log10": column(found.log_signal_D),
        "noise_log10": column(found.log_noise_D),
        "scale_sequences_log10": column(found.log_scale_D),
        "scale_sequences_log10_ci95": [column(ends) for ends in found.log_scale_D2],
    }


def truncated(found: Truncation) -> dict[str, Any]:
    """M9."""
    return {
        "steps": found.steps_D.tolist(),
        "bias": {name: bias.tolist() for name, bias in found.bias.items()},
        "cosine": {name: cosine.tolist() for name, cosine in found.cosine.items()},
    }


def horizons(curve: LagCurve, found: Truncation | None, share_L: Array | None) -> dict[str, Any]:
    """Lags where what matters is lost; None: not within the probe."""
    table: dict[str, Any] = {name: crossing(curve.p50_L, level) for name, level in LEVELS.items()}
    below = np.flatnonzero(curve.log_norm_p50_L < UNDERFLOW)
    table["float32_underflow"] = int(below[0]) if below.size else None
    if found is not None:
        table |= {f"bias_{str(level).replace('.', '_')}": bias_horizon(found, level) for level in BIAS_LEVELS}
    if share_L is not None and share_L.any():
        reached = np.flatnonzero(np.abs(1.0 - np.cumsum(share_L)) > 0.01)
        table["share_99"] = int(reached[-1]) + 1 if reached.size else 0
    return table


def products(chain: Chain, rollout: Rollout, sigma_max: float) -> dict[str, Any]:
    """M3 of the longest rows, and the bound sigma_max^l of a simple cell (|g'| <= 1)."""
    rows = affordable_rows(chain, rollout.lengths, PRODUCT_ROWS)
    lags = log_spaced_lags(int(rollout.lengths[rows[0]]) - 1)
    found = product_norms(chain, rollout.offsets, rows, lags)

    def median(values_LR: Array) -> Array:
        rows = [row[~np.isnan(row)] for row in values_LR]  # a product that is zero has no rank
        return np.array([quantile(row, 0.5) if row.size else np.nan for row in rows])

    table = {
        "lags": lags,
        "count": [int((~np.isnan(row)).sum()) for row in found.spectral_LR],
        "norm_log10": column(median(found.spectral_LR)),
        "frobenius_log10": column(median(found.frobenius_LR)),
        "stable_rank": numbers(median(found.stable_rank_LR)),
    }
    if chain.cell not in GATE_NAMES and sigma_max > 0:
        table["bound_log10"] = [lag * log(sigma_max) / LN10 for lag in lags]
    return table


def exponents(spectrum: Spectrum, chain: Chain) -> dict[str, Any]:
    """M4 and M5."""
    return {
        "unit": "nats/step",
        "values": numbers(spectrum.values_K),
        "ci95": [[number(a), number(b)] for a, b in spectrum.interval_K2],
        "k": int(spectrum.values_K.size),
        "state_size": chain.state_size,
        "steps": spectrum.steps,
        "warmup": spectrum.warm_up,
        "driven": True,
        "sum_rule_error": number(spectrum.sum_rule_error),
        "mean_log_abs_det": number(spectrum.mean_log_det),
        "kaplan_yorke": number(spectrum.kaplan_yorke),
        "convergence": {
            "steps": [s for s, _ in spectrum.running],
            "first": [number(v) for _, v in spectrum.running],
        },
    }


def activity(chain: Chain) -> dict[str, Any]:
    """M2 and M12's clocks."""
    found: dict[str, Any] = {"saturation": saturation_report(chain)}
    if chain.cell in GATE_NAMES:
        found["gates"] = gate_report(chain)
    return found


def median_clock(chain: Chain) -> float | None:
    """Median timescale of the units in steps; None for simple cells and where it is infinite."""
    return number(quantile(timescales(chain), 0.5)) if chain.cell in GATE_NAMES else None


def total_adjoint(rollout: Rollout, lags: ChainLags, hidden: int) -> dict[str, Any]:
    """M13: |dL/dh_k| of all losses together, by distance from the row's end: what other tools show."""
    norm = np.sqrt((lags.total_Nn[:, :hidden] ** 2).sum(axis=1))
    longest = int(rollout.lengths.max())
    with np.errstate(divide="ignore"):
        logs = np.log(norm)
    medians = []
    for back in range(longest):
        at = rollout.offsets[1:][rollout.lengths > back] - 1 - back
        medians.append(quantile(logs[at], 0.5))
    with np.errstate(over="ignore"):
        steps = np.where(np.isfinite(lags.total_LA), np.expm1(np.minimum(lags.total_LA, 300.0)), 0.0)
    omega = float((steps**2).sum(axis=0).mean())  # Pascanu et al. 2013, eq. 9, of each loss's own adjoint
    return {
        "steps_from_end": list(range(longest)),
        "norm_log10": column(np.array(medians)),
        "pascanu_omega": number(omega),
    }


def shown_matrix(rollout: Rollout, chain: Chain, lags: ChainLags, words: list[str] | None) -> dict[str, Any] | None:
    """M6 of the longest row that fits, relative to each loss's own step."""
    fits = np.flatnonzero(rollout.lengths <= MATRIX_STEPS)
    if fits.size == 0:
        return None
    row = int(fits[np.argmax(rollout.lengths[fits])])
    length = int(rollout.lengths[row])
    columns = np.flatnonzero(lags.row_A == row)
    columns = columns[np.argsort(lags.at_A[columns])]
    ratio_LA = ratios(lags.log_norm_LA[:, columns])
    matrix: list[list[float | None]] = []
    for c, t in enumerate(lags.at_A[columns]):
        matrix.append([log10(float(ratio_LA[t - k, c])) if k <= t else None for k in range(length)])
    first = int(rollout.offsets[row])
    with np.errstate(divide="ignore"):
        total = np.log(np.sqrt((lags.total_Nn[first : first + length] ** 2).sum(axis=1)))
    tokens = words if words is None or not chain.place.reverse else words[::-1]
    return {
        "layer": chain.place.layer,
        "direction": direction(chain),
        "tokens": tokens[:length] if tokens else None,
        "loss_steps": [int(t) for t in lags.at_A[columns]],
        "source_steps": list(range(length)),
        "ratio_log10": matrix,
        "total_log10": column(total),
    }


def example_rows(rollout: Rollout) -> list[int]:
    """Rows for the sentence view: of about median length, short enough to be read."""
    wanted = min(float(np.median(rollout.lengths)), 40.0)
    return [int(r) for r in np.argsort(np.abs(rollout.lengths - wanted), kind="stable")[:EXAMPLES]]


def influence(rollout: Rollout, lags: ChainLags, row: int, words: list[str], target: str) -> dict[str, Any]:
    """M20: log10 |dL_t / dx_k| of one row."""
    columns = np.flatnonzero(lags.row_A == row)
    columns = columns[np.argsort(lags.at_A[columns])]
    length = int(rollout.lengths[row])
    norms = [
        [log10(float(lags.input_log_LA[t - k, c])) if k <= t else None for k in range(length)]
        for c, t in zip(columns, lags.at_A[columns], strict=True)
    ]
    return {"tokens": words, "target": target, "loss_steps": [int(t) for t in lags.at_A[columns]], "norm_log10": norms}


def direction(chain: Chain) -> str:
    """As in the JSON."""
    return "backward" if chain.place.reverse else "forward"
