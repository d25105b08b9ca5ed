"""How far units are squashed (M2): shown as numbers, never as a verdict by themselves."""

from typing import Any

import numpy as np

from rnncli.inspection.adjoints import Array


def saturation_report(a_NH: Array, h_NH: Array, derivative_NH: Array, relu: bool) -> dict[str, Any]:
    """Over all steps of all probe sequences (N, H).

    `dead_f32_units`: tanh units for which 1 - h^2 is exactly 0 in float32 at every step, dead in that arithmetic although
    the true derivative is not 0. `relu_dead_units`: ReLU units that are never active.
    """
    report: dict[str, Any] = {"steps": int(a_NH.shape[0]), "mean_derivative": float(derivative_NH.mean())}
    if relu:
        active = a_NH > 0
        report["active_share"] = float(active.mean())
        report["relu_dead_units"] = int((~active.any(axis=0)).sum())
        report["ties_at_zero"] = int((a_NH == 0).sum())
        return report
    size = np.abs(h_NH)
    single = h_NH.astype(np.float32)
    report["frac_abs_gt_0_9"] = float((size > 0.9).mean())
    report["frac_abs_gt_0_99"] = float((size > 0.99).mean())
    report["dead_f32_units"] = int((np.float32(1) - single * single == 0).all(axis=0).sum())
    return report
