"""How far units are squashed (M2) and how long gates hold (M12): shown as numbers, never as a verdict by themselves."""

from typing import Any

import numpy as np

from rnncli.inspection.local import Array, sech2
from rnncli.inspection.rollout import Chain
from rnncli.kernels import adjoints as kernels

IMAGE_STEPS, IMAGE_UNITS, BINS = 96, 64, 33


def saturation_report(chain: Chain) -> dict[str, Any]:
    """Over all steps of all probe sequences.

    `dead_f32_units`: units for which 1 - h^2 is exactly 0 in float32 at every step, dead in that arithmetic although the
    true derivative is not 0. `relu_dead_units`: ReLU units that are never active. For gated cells the derivative is that of
    tanh at the cell (LSTM) or at the candidate (GRU).
    """
    derivative, size = squashing(chain), chain.hidden
    report: dict[str, Any] = {"steps": int(derivative.shape[0]), "mean_derivative": float(derivative.mean())}
    if chain.cell == "relu":
        active = chain.a_NG > 0
        report["active_share"] = float(active.mean())
        report["relu_dead_units"] = int((~active.any(axis=0)).sum())
        report["ties_at_zero"] = int((chain.a_NG == 0).sum())
        return report
    squashed = chain.h_NH if chain.local.form == kernels.SIMPLE else np.tanh(_inner(chain))
    magnitude = np.abs(squashed)
    single = squashed.astype(np.float32)
    report["frac_abs_gt_0_9"] = float((magnitude > 0.9).mean())
    report["frac_abs_gt_0_99"] = float((magnitude > 0.99).mean())
    report["dead_f32_units"] = int((np.float32(1) - single * single == 0).all(axis=0).sum())
    steps = np.unique(np.linspace(0, derivative.shape[0] - 1, IMAGE_STEPS).astype(np.int64))
    units = np.argsort(derivative.mean(axis=0), kind="stable")[
        np.unique(np.linspace(0, size - 1, IMAGE_UNITS).astype(int))
    ]
    counts, edges = np.histogram(np.clip(_inner(chain), -6.0, 6.0), BINS, (-6.0, 6.0))
    report["image"] = {
        "steps": steps.tolist(),
        "units": units.tolist(),
        "derivative": np.round(derivative[np.ix_(steps, units)].T, 4).tolist(),
    }
    report["histogram"] = {"edges": edges.tolist(), "count": counts.tolist()}
    return report


def _inner(chain: Chain) -> Array:
    """What tanh is taken of: the pre-activation, the cell of an LSTM, the candidate of a GRU."""
    if chain.local.form == kernels.LSTM:
        assert chain.c_NH is not None
        return chain.c_NH
    return chain.a_NG[:, -chain.hidden :]


def squashing(chain: Chain) -> Array:
    """The derivative of the activation at each step and unit (N, H)."""
    return chain.local.alpha_NG if chain.local.form == kernels.SIMPLE else sech2(_inner(chain))


def timescales(chain: Chain) -> Array:
    """tau_j = -1 / mean log of the gate that keeps unit j (LSTM f, GRU z), in steps; inf where it is always 1 (H,)."""
    with np.errstate(divide="ignore"):
        mean_log = np.log(chain.local.keep_NH).mean(axis=0)
        return np.asarray(np.where(mean_log < 0, -1.0 / mean_log, np.inf))


def gate_report(chain: Chain) -> dict[str, Any]:
    """Every sigmoid gate; the one that keeps the state also as clocks. Half-life is ln 2 of a timescale."""
    report: dict[str, Any] = {}
    keeps = {"lstm": "f", "gru": "z", "gru_before": "z"}.get(chain.cell)
    for name, values in chain.local.gates.items():
        report[name] = {
            "mean": float(values.mean()),
            "frac_lt_0_1": float((values < 0.1).mean()),
            "frac_gt_0_9": float((values > 0.9).mean()),
        }
        if name == keeps:
            tau = timescales(chain)
            quantiles = np.quantile(tau, [0.1, 0.5, 0.9], method="inverted_cdf")
            report[name]["timescale_steps"] = {
                p: float(q) if np.isfinite(q) else None for p, q in zip(("p10", "p50", "p90"), quantiles, strict=True)
            }
            report[name]["timescales"] = [float(t) if np.isfinite(t) else None for t in tau]
    return report
