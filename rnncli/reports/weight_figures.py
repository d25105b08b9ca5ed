"""Figures of what the network is: its spectra (P5, P6), its clocks (P7) and its saturation (P8)."""

from math import log2
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

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

MOST_MATRICES = 16  # two LSTM layers in both directions; the rest stands in the JSON


def lyapunov_spectrum(report: Json) -> Figure | None:
    """P5: growth rate of each independent direction along the data."""
    found = [
        (name, layer) for name, layer in layers(report, "lyapunov", "values")
        if floats(layer["lyapunov"]["values"]) is not None
    ]  # fmt: skip
    if not found:
        return None
    figure, (ax,) = panels(1, height=3.4)
    for i, (name, layer) in enumerate(found):
        values = floats(layer["lyapunov"]["values"])
        assert values is not None
        index = np.arange(1, len(values) + 1)
        size = layer["lyapunov"].get("state_size") or len(values)
        ends = table(layer["lyapunov"].get("ci95"))
        error = None
        if ends is not None and ends.shape == (len(values), 2):
            error = np.nan_to_num(np.abs(np.stack([values - ends[:, 0], ends[:, 1] - values])))
        ax.errorbar(
            index / size, values, yerr=error, linestyle=DASHES[i % len(DASHES)], marker=MARKERS[i % len(MARKERS)],
            color=INKS[i % len(INKS)], elinewidth=0.8, capsize=2, label=f"{name} ({len(values)} of {size} exponents)",
        )  # fmt: skip
    ax.axhline(0, color="black", linewidth=1.0)
    ax.annotate("0: neither grows nor fades", (1, 0), (-2, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=7)  # fmt: skip
    ax.set(xlabel="number of the exponent / size of the state", ylabel="Lyapunov exponent (nats per step)")
    _inset_convergence(ax, found)
    legend_below(figure, [ax], columns=2)
    return figure


def _inset_convergence(ax: Axes, found: list[tuple[str, Json]]) -> None:
    """How λ1 settles with the number of steps, in a second panel: a spectrum still drifting is no measurement."""
    runs = []
    for i, (_, layer) in enumerate(found):
        first = floats(dig(layer, "lyapunov", "convergence", "first"))
        if first is not None:
            runs.append((i, layer["lyapunov"]["convergence"]["steps"][: len(first)], first))
    if not runs:
        return
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.7 * (high - low))  # an exponent falls with its number: the room above is free
    inset = ax.inset_axes((0.62, 0.66, 0.37, 0.32))
    for i, steps, first in runs:
        inset.plot(steps, first, linestyle=DASHES[i % len(DASHES)], color=INKS[i % len(INKS)])
    inset.set_title("running mean of λ1 over the steps", fontsize=7, pad=2)
    inset.tick_params(labelsize=6.5)


def eigenvalues(report: Json) -> Figure | None:
    """P6: eigenvalues and pseudospectrum of each recurrent matrix, beside the norms of its powers."""
    found = [
        (f"{name}, {plain(weight.get('block', 'W'), 14)}", weight)
        for name, layer in layers(report, "weights") for weight in layer["weights"]
        if weight.get("eigenvalues") or weight.get("transient")
    ][:MOST_MATRICES]  # fmt: skip
    if not found:
        return None
    rows = len(found) if len(found) <= 2 else -(-len(found) // 2)
    pairs = 1 if len(found) <= 2 else 2
    figure = new_figure((3.2 if pairs == 1 else 2.2) * rows)
    grid = figure.subplots(rows, 2 * pairs, squeeze=False)
    spare = set(grid.flat)
    for i, (name, weight) in enumerate(found):
        plane, side = grid[i // pairs][2 * (i % pairs)], grid[i // pairs][2 * (i % pairs) + 1]
        if points := weight.get("eigenvalues"):
            _plane(plane, np.array(points, float), weight)
            plane.set_title(name, fontsize=8.5)
            spare.discard(plane)
        if (norms := floats(dig(weight, "transient", "norm_log10"))) is not None:
            _powers(side, weight, norms)
            side.set_title(f"powers of {name}" if pairs == 1 else "its powers", fontsize=8.5)
            spare.discard(side)
    for ax in spare:
        ax.remove()
    legend_below(figure, figure.axes, columns=5)
    return figure


def _plane(ax: Axes, points: Floats, weight: Json) -> None:
    ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor="black", linewidth=1.2))
    ax.plot([], [], color="black", linewidth=1.2, label="|z| = 1")
    reach = max(1.1, 1.08 * float(np.abs(points).max()))
    levels = table(dig(weight, "pseudospectrum", "sigma_min_log10"))
    if levels is not None and min(levels.shape) > 1 and np.isfinite(levels).all():
        contours = weight["pseudospectrum"]
        re, im = np.array(contours["re"], float), np.array(contours["im"], float)
        for level, dash, name in ((-2.0, "dotted", "ε = .01"), (-1.0, "dashed", "ε = .1")):
            if levels.min() < level < levels.max():
                ax.contour(re, im, levels, levels=[level], colors=[INKS[2]], linestyles=[dash], linewidths=[1.1])
                ax.plot([], [], color=INKS[2], linestyle=dash, linewidth=1.1, label=name)
        reach = max(reach, min(np.abs(re).max(), np.abs(im).max(), 2 * reach))
    ax.plot(points[:, 0], points[:, 1], "o", color=INKS[1], markersize=2.8, markerfacecolor="none", label="eigenvalue")
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="real part", ylabel="imaginary part")
    ax.set_aspect("equal")


def _powers(ax: Axes, weight: Json, norms: Floats) -> None:
    lags = np.array(weight["transient"]["lags"][: len(norms)], float)
    ax.plot(lags, norms, "-", color=INKS[0], label="log10 ‖W^lag‖")
    if rho := weight.get("rho"):
        line = lags * np.log10(rho)
        ax.plot(lags, line, ":", color=INKS[4], label="log10 ρ^lag")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlabel="lag", ylabel="log10")


def clocks(report: Json) -> Figure | None:
    """P7: how long the units remember, above how long the sequences are, on one axis."""
    times = []
    for name, layer in layers(report, "gates"):
        for gate, measured in layer["gates"].items():
            values = measured.get("timescales") or []
            finite = np.array([v for v in values if v is not None and v > 0], float)
            if len(values):
                times.append((f"{name}, {plain(gate, 14)}", finite, len(values) - len(finite)))
    if not any(len(finite) for _, finite, _ in times):
        return None
    histogram = dig(report, "data", "length", "histogram") or {}
    edges, count = floats(histogram.get("edges")), floats(histogram.get("count"))
    with_lengths = edges is not None and count is not None
    figure, axes = panels(1 + with_lengths, columns=1, height=2.3, sharex=True)
    _draw_times(axes[0], times)
    if edges is not None and count is not None:
        left = np.maximum(edges[: len(count)], 0.5)
        axes[1].bar(left, count / count.sum(), np.maximum(edges[1:] - left, 0.5), align="edge", facecolor="#d0d0d0",
                    edgecolor="black", linewidth=0.5, hatch="///", label="sequence lengths")  # fmt: skip
        axes[1].set(ylabel="share of sequences")
    need = dig(report, "verdict", "need_lag_steps")
    for ax in axes:
        if need:
            ax.axvline(need, color="black", linewidth=1.4, linestyle="--", label=f"needed lag {need:g}")
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[-1].set_xlabel("steps")
    legend_below(figure, axes, columns=3)
    return figure


def _draw_times(ax: Axes, times: list[tuple[str, Floats, int]]) -> None:
    every = np.concatenate([finite for _, finite, _ in times])
    low, high = np.floor(2 * log2(every.min())) / 2, np.ceil(2 * log2(every.max())) / 2
    bins = 2.0 ** np.arange(low, max(high, low + 0.5) + 0.25, 0.5)  # half octaves
    for i, (name, finite, infinite) in enumerate(times):
        if not len(finite):
            continue
        share = np.histogram(finite, bins)[0] / (len(finite) + infinite)
        label = name + (f" ({infinite} units never forget)" if infinite else "")
        ax.stairs(share, bins, linestyle=DASHES[i % len(DASHES)], color=INKS[i % len(INKS)], linewidth=1.6, label=label)
    ax.set(ylabel="share of units")


def saturation(report: Json) -> Figure | None:
    """P8: which units let the gradient through, when; and where their pre-activations lie."""
    found = [
        (name, layer["saturation"]) for name, layer in layers(report, "saturation")
        if table(dig(layer, "saturation", "image", "derivative")) is not None
        or floats(dig(layer, "saturation", "histogram", "count")) is not None
    ]  # fmt: skip
    if not found:
        return None
    figure = new_figure(2.8 * len(found) + 0.3)
    grid = figure.subplots(len(found), 2, squeeze=False, width_ratios=(1.5, 1))
    for (name, measured), (left, right) in zip(found, grid, strict=True):
        image = table(dig(measured, "image", "derivative"))
        if image is None:
            left.remove()
        else:
            _image(figure, left, measured["image"], image)
            left.set_title(f"{name}: derivative of the squashing function")
        if floats(dig(measured, "histogram", "count")) is None:
            right.remove()
        else:
            _histogram(right, measured["histogram"])
            right.set_title(f"{name}: pre-activations")
    legend_below(figure, figure.axes)
    return figure


def _image(figure: Figure, ax: Axes, image: Json, derivative: Floats) -> None:
    steps = image.get("steps") or list(range(derivative.shape[1]))
    units = derivative.shape[0]
    drawn = ax.imshow(derivative, cmap=COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest",
                      extent=(-0.5, derivative.shape[1] - 0.5, units - 0.5, -0.5))  # fmt: skip
    dead = np.nanmax(derivative, axis=1, initial=0.0) <= 2.0**-24
    hatch_cells(ax, np.repeat(dead[:, None], derivative.shape[1], axis=1), "xxxx", "#ff5050")
    every = max(1, -(-len(steps) // 8))
    ax.set_xticks(range(0, len(steps), every), [str(step) for step in steps[::every]])
    ax.set(xlabel="step", ylabel="units, sorted by their mean")
    ax.grid(visible=False)
    figure.colorbar(drawn, ax=ax, pad=0.01)
    if dead.any():
        ax.text(0.01, 0.02, f"hatched: {dead.sum()} units with derivative 0 in float32", transform=ax.transAxes, fontsize=7,
                bbox={"facecolor": "white", "pad": 1.2, "linewidth": 0.4})  # fmt: skip


def _histogram(ax: Axes, histogram: Json) -> None:
    count, edges = floats(histogram["count"]), floats(histogram["edges"])
    assert count is not None
    assert edges is not None
    ax.stairs(count / count.sum(), edges, fill=True, facecolor="#d0d0d0", edgecolor="black", linewidth=0.5,
              hatch=HATCHES[1], label="share of pre-activations")  # fmt: skip
    ax.set(xlabel="pre-activation a", ylabel="share")
    curve: Any = ax.twinx()
    a = np.linspace(edges[0], edges[-1], 200)
    curve.plot(a, 1 / np.cosh(np.minimum(np.abs(a), 300.0)) ** 2, "--", color=INKS[2], label="derivative of tanh")
    curve.set_ylim(0, 1.05)
    curve.set_yticks([0, 0.5, 1])
    curve.grid(visible=False)
    curve.spines["right"].set_visible(True)
