"""All figures of a report, by name and in order."""

from collections.abc import Callable

from matplotlib.figure import Figure

from rnncli.reports import lag_figures, run_figures, weight_figures
from rnncli.reports.drawing import Json, render, style

# P9, the sentence view, is part of the page (sentences.py).
DRAW: dict[str, Callable[[Json], Figure | None]] = {
    "p1_lag_curve": lag_figures.lag_curve,
    "p2_lag_matrix": lag_figures.lag_matrix,
    "p3_update_share": lag_figures.update_share,
    "p4_truncation_bias": lag_figures.truncation_bias,
    "p5_lyapunov": weight_figures.lyapunov_spectrum,
    "p6_eigenvalues": weight_figures.eigenvalues,
    "p7_clocks": weight_figures.clocks,
    "p8_saturation": weight_figures.saturation,
    "p10_noise": lag_figures.signal_and_noise,
    "p11_trajectory": run_figures.trajectory,
    "p12_proof": run_figures.proof,
}


def figures(report: Json) -> dict[str, Figure]:
    """Every figure whose numbers the report has."""
    with style():
        drawn = {name: draw(report) for name, draw in DRAW.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def figure_files(report: Json, format: str = "svg") -> dict[str, bytes]:
    """The figures as `svg` or `png` files, by name; equal reports give equal bytes."""
    return {name: render(figure, format, salt=name) for name, figure in figures(report).items()}
