"""Figures over the lag: how far a gradient reaches (P1-P4) and where it drowns in noise (P10)."""

from collections.abc import Sequence
from math import e, log10
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnncli.reports.drawing import (
    COLOURS,
    DASHES,
    HATCHES,
    INKS,
    MARKERS,
    Floats,
    Json,
    dig,
    floats,
    hatch_cells,
    layers,
    legend_below,
    new_figure,
    panels,
    plain,
    table,
)

FLOAT32_LOG10 = -24 * log10(2.0)  # a smaller term is lost when added to its sum in float32
DECADES = 12.0  # range of the lag matrix, the same in every report so that two can be compared


def lag_curve(report: Json) -> Figure | None:
    """P1: the gradient at each lag relative to lag 0, with what theory says of it."""
    found = [(name, layer) for name, layer in layers(report, "lag", "lags") if _median(layer) is not None]
    if not found:
        return None
    figure, axes = panels(len(found), sharey=True, height=3.4)
    lowest = min(float(np.nanmin(_median(layer))) for _, layer in found)  # type: ignore[arg-type]
    for ax, (name, layer) in zip(axes, found, strict=True):
        _draw_curve(ax, layer)
        _mark_horizontals(ax)
        _mark_verticals(ax, report, with_lengths=True)
        ax.set(title=name, xlabel="lag (steps back from the loss)", ylabel="log10 of gradient, lag 0 = 0")
    # The straight lines may fall for thousands of decades; the measured curve decides what is shown.
    axes[0].set_ylim(bottom=min(1.1 * lowest, 1.15 * FLOAT32_LOG10))
    legend_below(figure, axes)
    return figure


def _median(layer: Json) -> Floats | None:
    return floats(dig(layer, "lag", "ratio_log10", "p50"))


def _draw_curve(ax: Axes, layer: Json) -> None:
    lag = layer["lag"]
    x = np.array(lag["lags"], np.float64)
    low, high = (floats(dig(lag, "ratio_log10", quartile)) for quartile in ("p25", "p75"))
    median = _median(layer)
    assert median is not None
    if low is not None and high is not None:
        ax.fill_between(x, low, high, color="#c8c8c8", label="quartiles", linewidth=0)
    ax.plot(x, median, color=INKS[0], linewidth=2.2, label="measured (median)")
    if (bound := floats(lag.get("product_bound_log10"))) is not None:
        ax.plot(x[: len(bound)], bound, linestyle="--", color=INKS[1], label="bound (γσ)^lag")
    if (radius := floats(lag.get("rho_log10"))) is not None:
        ax.plot(x[: len(radius)], radius, linestyle=":", color=INKS[4], label="ρ(W)^lag")
    exponents = floats(dig(layer, "lyapunov", "values"))
    if exponents is not None and np.isfinite(exponents[0]):
        ax.plot(x, exponents[0] * x * log10(e), linestyle="-.", color=INKS[2], label="exp(λ1 · lag)")
    if half := dig(layer, "horizons_steps", "half"):
        ax.plot(x, -x / half * log10(2.0), linestyle=DASHES[4], color=INKS[3], linewidth=1.0, label="half-life fit")
    ax.set_xlim(x[0], max(x[-1], 1.0))
    top = float(np.nanmax(high if high is not None else median))
    ax.set_ylim(top=max(ax.get_ylim()[1] if top > 0 else 0.0, 0.0) + 0.5 if top < 2 else 1.1 * top)


def _mark_horizontals(ax: Axes) -> None:
    for y, name in ((-2.0, "1 %"), (FLOAT32_LOG10, "2⁻²⁴: lost in float32")):
        ax.axhline(y, color="#555555", linewidth=0.8, linestyle=(0, (8, 3)))
        ax.annotate(
            name,
            (1, y),
            (-2, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize=7,
        )


def _mark_verticals(ax: Axes, report: Json, with_lengths: bool) -> None:
    """Vertical lines at the needed lag, the training window and the lengths, named at alternating heights."""
    marks: list[tuple[Any, str]] = [
        (dig(report, "verdict", "need_lag_steps"), "needed"),
        (dig(report, "architecture", "bptt_steps"), "window"),
    ]
    if with_lengths:
        length = dig(report, "data", "length") or dig(report, "input", "length") or {}
        marks += [(length.get("p50"), "length p50"), (length.get("p90"), "p90")]
    left, right = ax.get_xlim()
    for i, (x, name) in enumerate(sorted((m for m in marks if m[0]), key=lambda m: float(m[0]))):
        if left <= x <= right:
            ax.axvline(x, color="#333333", linewidth=0.9, linestyle=DASHES[(i + 1) % 4])
            ax.annotate(
                f"{name} {x:g}",
                (x, 0.02 + 0.09 * (i % 3)),
                (2 if x < 0.75 * right else -2, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="left" if x < 0.75 * right else "right",
                fontsize=7,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
            )


def lag_matrix(report: Json) -> Figure | None:
    """P2: for each loss step, how much of its gradient is left at each earlier step."""
    values = table(dig(report, "lag_matrix", "ratio_log10"))
    if values is None:
        return None
    matrix = report["lag_matrix"]
    sources, losses = list(matrix["source_steps"]), list(matrix["loss_steps"])
    total = floats(matrix.get("total_log10"))
    relative = _relative_to_diagonal(values, losses, sources)
    rows = len(losses)
    figure = new_figure(1.9 + min(4.2, 0.35 * rows) + 0.9 * (total is not None))
    heights = [max(1.0, min(4.2, 0.35 * rows)), 0.45]
    grid = figure.subplots(1 + (total is not None), 1, sharex=True, squeeze=False,
                           height_ratios=heights[: 1 + (total is not None)])  # fmt: skip
    ax = grid[0][0]
    extent = (-0.5, len(sources) - 0.5, rows - 0.5, -0.5)
    image = ax.imshow(
        relative, cmap=COLOURS, vmin=-DECADES, vmax=0, aspect="auto", interpolation="nearest", extent=extent
    )
    hatch_cells(ax, relative < -DECADES, "xxxx", "white")
    hatch_cells(ax, relative > 0, "////", "black")
    figure.colorbar(image, ax=ax, label="decades below the\nloss's own step", extend="both", pad=0.01)
    ax.set(title=_matrix_title(matrix), ylabel="step t of the loss")
    _name_steps(ax.yaxis, losses, [], 12)
    ax.grid(visible=False)
    bottom = ax
    if total is not None:
        bottom = grid[1][0]
        strip = (total - np.nanmax(total))[None, :]
        drawn = bottom.imshow(strip, cmap=COLOURS, vmin=-DECADES, vmax=0, aspect="auto", interpolation="nearest",
                              extent=(-0.5, len(sources) - 0.5, 0.5, -0.5))  # fmt: skip
        hatch_cells(bottom, strip < -DECADES, "xxxx", "white")
        figure.colorbar(drawn, ax=bottom, pad=0.01, ticks=[-DECADES, 0])
        bottom.set(title="what other tools show: all losses added up (relative to its largest)", yticks=[])
        bottom.grid(visible=False)
    tokens = matrix.get("tokens") or []
    _name_steps(bottom.xaxis, sources, tokens, 40)
    bottom.set_xlabel("step k that the gradient reaches")
    return figure


def _matrix_title(matrix: Json) -> str:
    return f"layer {matrix.get('layer', 0)} {matrix.get('direction', '')}".strip() + "; hatched: outside the range"


def _relative_to_diagonal(values: Floats, losses: Sequence[int], sources: Sequence[int]) -> Floats:
    """Each row minus its value at lag 0; a row without one is set against its largest."""
    column = {step: i for i, step in enumerate(sources)}
    relative = values.copy()
    for i, step in enumerate(losses):
        own = values[i, column[step]] if step in column else np.nan
        if not np.isfinite(own):
            known = values[i][np.isfinite(values[i])]
            own = known.max() if len(known) else 0.0
        relative[i] -= own
    return relative


def _name_steps(axis: Any, steps: Sequence[int], tokens: Sequence[object], most: int) -> None:
    """Ticks for a list of steps: words where they fit, else numbers."""
    if tokens and len(steps) <= most and max(steps) < len(tokens):
        names = [plain(tokens[step], 12) for step in steps]
        axis.set_ticks(range(len(steps)), names, rotation=60, ha="right", rotation_mode="anchor")
    else:
        every = max(1, -(-len(steps) // min(most, 12)))
        axis.set_ticks(range(0, len(steps), every), [str(step) for step in steps[::every]])


def update_share(report: Json) -> Figure | None:
    """P3: which lags the update of each block comes from; signed, so terms that cancel stand on both sides of zero."""
    found = [
        (name, layer) for name, layer in layers(report, "lag", "lags")
        if dig(layer, "lag", "share") or dig(layer, "lag", "share_by_gate")
    ]  # fmt: skip
    if not found:
        return None
    figure, axes = panels(len(found), height=3.2)
    longest = max(max(layer["lag"]["lags"]) for _, layer in found)
    bins = lag_bins(longest)
    shades = np.linspace(0.0, 0.95, max(len(bins), 2))
    for ax, (name, layer) in zip(axes, found, strict=True):
        lag = layer["lag"]
        bars = dict(dig(lag, "share") or {})
        bars |= {f"gate {gate}": share for gate, share in (dig(lag, "share_by_gate") or {}).items()}
        bars = {block: share for block, share in bars.items() if floats(share) is not None}
        _stack(ax, np.array(lag["lags"]), bars, bins, shades)
        ax.set(title=name, ylabel="share of the update")
    legend_below(figure, axes, columns=6)
    return figure


def lag_bins(longest: int) -> list[tuple[int, int]]:
    """First and last lag of the bins 0, 1, 2, 3-4, 5-8, 9-16, ..."""
    bins = [(0, 0), (1, 1), (2, 2)]
    while bins[-1][1] < longest:
        bins.append((bins[-1][1] + 1, 2 * bins[-1][1]))
    return [b for b in bins if b[0] <= longest]


def _stack(ax: Axes, lags: Any, bars: dict[str, Any], bins: list[tuple[int, int]], shades: Any) -> None:
    x = np.arange(len(bars))
    shares = [np.nan_to_num(np.array([np.nan if s is None else s for s in share], float)) for share in bars.values()]
    up, down = np.zeros(len(bars)), np.zeros(len(bars))
    for i, (first, last) in enumerate(bins):
        inside = (lags >= first) & (lags <= last)
        height = np.array([share[inside[: len(share)]].sum() for share in shares])
        bottom = np.where(height >= 0, up, down)
        dark = shades[i] < 0.5
        ax.bar(
            x, height, 0.7, bottom=bottom, label=f"lag {first}" if first == last else f"lag {first}–{last}",
            facecolor=colormaps[COLOURS](shades[i]), hatch=HATCHES[i % len(HATCHES)],
            edgecolor="white" if dark else "black", linewidth=0.4,
        )  # fmt: skip
        up, down = up + np.maximum(height, 0), down + np.minimum(height, 0)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(x, [plain(name, 14) for name in bars], rotation=30 if len(bars) > 4 else 0,
                  ha="right" if len(bars) > 4 else "center", rotation_mode="anchor")  # fmt: skip
    ax.grid(visible=False, axis="x")


def truncation_bias(report: Json) -> Figure | None:
    """P4: the part of the gradient that is lost if it is cut after τ steps."""
    found = [
        (name, layer) for name, layer in layers(report, "truncation", "bias")
        if any(floats(v) is not None for v in layer["truncation"]["bias"].values())
    ]  # fmt: skip
    if not found:
        return None
    figure, axes = panels(len(found), sharey=True)
    for ax, (name, layer) in zip(axes, found, strict=True):
        steps = np.array(layer["truncation"]["steps"], float)
        for i, (block, bias) in enumerate(layer["truncation"]["bias"].items()):
            if (values := floats(bias)) is not None:
                ax.plot(steps[: len(values)], values, linestyle=DASHES[i % len(DASHES)], marker=MARKERS[i % len(MARKERS)],
                        color=INKS[i % len(INKS)], label=plain(block, 20))  # fmt: skip
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for y, text in ((0.5, ".5 bad"), (0.1, ".1 good")):
            ax.axhline(y, color="#555555", linewidth=0.8, linestyle=(0, (8, 3)))
            ax.annotate(text, (1, y), (-2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                        ha="right", fontsize=7)  # fmt: skip
        ax.set_ylim(0, max(1.02, ax.get_ylim()[1]))
        _mark_verticals(ax, report, with_lengths=False)
        ax.set(title=name, xlabel="cut after τ steps", ylabel="‖missing part‖ / ‖gradient‖")
    legend_below(figure, axes)
    return figure


def signal_and_noise(report: Json) -> Figure | None:
    """P10: squared mean gradient and its variance by lag; where they cross one sequence no longer sees the signal."""
    found = [
        (name, layer) for name, layer in layers(report, "lag", "noise", "lags")
        if floats(dig(layer, "lag", "noise", "signal_log10")) is not None
    ]  # fmt: skip
    if not found:
        return None
    figure, axes = panels(len(found), sharey=True)
    for ax, (name, layer) in zip(axes, found, strict=True):
        noise = layer["lag"]["noise"]
        x = np.array(noise["lags"], float)
        signal, spread = floats(noise["signal_log10"]), floats(noise.get("noise_log10"))
        assert signal is not None
        ax.plot(x[: len(signal)], signal, "-o", color=INKS[0], label="signal ‖mean‖²")
        if spread is not None:
            ax.plot(x[: len(spread)], spread, "--^", color=INKS[4], label="noise (variance of one sequence)")
            both = min(len(signal), len(spread))
            below = np.flatnonzero(signal[:both] < spread[:both])
            if len(below):
                ax.axvline(x[below[0]], color="#333333", linewidth=0.9, linestyle=":")
                ax.annotate(f"noise above signal from lag {x[below[0]]:g}", (x[below[0]], 0.03), (3, 0), fontsize=7,
                            xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
        ax.set(title=name, xlabel="lag (steps)", ylabel="log10")
    legend_below(figure, axes)
    return figure
