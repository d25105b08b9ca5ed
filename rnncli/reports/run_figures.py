"""Figures over training: the trajectory of a run (P11) and the experiment that proves an advice (P12)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnncli.reports.drawing import DASHES, INKS, MARKERS, Floats, Json, dig, floats, legend_below, panels, plain

# (title, [(key, name of the line)], value where a level line helps the eye)
_PANELS: tuple[tuple[str, list[tuple[str, str]], float | None], ...] = (
    ("gradient left at the needed lag (log10)", [("ratio_at_need_log10", "gradient at the needed lag")], 0.0),
    ("largest Lyapunov exponent (nats/step)", [("lambda_1", "λ1")], 0.0),
    ("gradient norm", [("norm_p50", "p50"), ("norm_p99", "p99")], None),
    ("share of steps that were clipped", [("clip_fraction", "clipped")], None),
    ("loss", [("loss", "loss")], None),
    ("accuracy", [("accuracy", "accuracy")], None),
)


def trajectory(report: Json) -> Figure | None:
    """P11: the measurements at the checkpoints of a run, one panel each, over the same steps."""
    points = report.get("trajectory") or []
    if len(points) < 2:
        return None
    clock = next((key for key in ("step", "epoch") if all(p.get(key) is not None for p in points)), None)
    x = [p[clock] for p in points] if clock else list(range(len(points)))
    drawn: list[tuple[str, list[tuple[str, Floats]], float | None]] = []
    for title, keys, level in _PANELS:
        measured = [(name, floats([p.get(key) for p in points])) for key, name in keys]
        drawn.append((title, [(name, values) for name, values in measured if values is not None], level))
    drawn.append(("gain (nats/step)", _gain_lines(points), 0.0))
    drawn = [panel for panel in drawn if panel[1]]
    if not drawn:
        return None
    figure, axes = panels(len(drawn), height=1.9, sharex=True)
    for ax, (title, lines, level) in zip(axes, drawn, strict=True):
        for i, (name, values) in enumerate(lines):
            ax.plot(x, values, linestyle=DASHES[i], marker=MARKERS[i], color=INKS[i], label=name)
        if level is not None:
            ax.axhline(level, color="black", linewidth=0.8)
        if len(lines) > 1:
            ax.legend()
        ax.set_title(title)
    for ax in axes[-2:]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(clock or "checkpoint")
    return figure


def _gain_lines(points: list[Json]) -> list[tuple[str, Floats]]:
    """The gain is a number, or a number for each cause."""
    gains = [p.get("gain") for p in points]
    lines = {"gain": floats([None if isinstance(gain, dict) else gain for gain in gains])}
    for name in ("total", "squash", "weights", "carry"):
        lines[name] = floats([dig(gain, name) for gain in gains])
    return [(name, values) for name, values in lines.items() if values is not None]


def proof(report: Json) -> Figure | None:
    """P12: the loss of every seed under each arm, and the paired difference with its interval."""
    arms = [arm for arm in dig(report, "prove", "arms") or [] if floats(arm.get("losses")) is not None]
    if not arms:
        return None
    results = [one for one in dig(report, "prove", "results") or [] if one.get("mean") is not None]
    figure, axes = panels(1 + bool(results), height=3.0)
    _draw_arms(axes[0], arms)
    if results:
        _draw_differences(axes[1], results)
    legend_below(figure, axes[:1])
    return figure


def _draw_arms(ax: Axes, arms: list[Json]) -> None:
    """A line joins the losses of one seed: the comparison is within seeds."""
    losses = [floats(arm["losses"]) for arm in arms]
    seeds = min(len(loss) for loss in losses if loss is not None)
    for seed in range(seeds):
        ax.plot(range(len(arms)), [loss[seed] for loss in losses if loss is not None], "-", color="#b0b0b0", linewidth=0.8,
                label="one seed")  # fmt: skip
    for i, loss in enumerate(losses):
        assert loss is not None
        ax.plot(
            np.full(len(loss), i), loss, MARKERS[i % len(MARKERS)], color=INKS[i % len(INKS)], markerfacecolor="none"
        )
        ax.plot([i - 0.2, i + 0.2], [np.nanmean(loss)] * 2, "-", color="black", linewidth=2, label="mean")
    ax.set_xticks(range(len(arms)), [plain(arm.get("name", i), 18) for i, arm in enumerate(arms)])
    ax.set_xlim(-0.6, len(arms) - 0.4)
    ax.set(title="loss of each seed", ylabel="loss")


def _draw_differences(ax: Axes, results: list[Json]) -> None:
    """One point with its interval for each arm against the recipe as it is."""
    for i, one in enumerate(results):
        mean, interval = one["mean"], one.get("ci95")
        error = None if not interval else [[mean - interval[0]], [interval[1] - mean]]
        ax.errorbar([i], [mean], yerr=error, fmt="D", color="black", capsize=8, linewidth=1.6, markersize=7)
    ax.axhline(0, color="black", linewidth=1.0, linestyle="--")
    ax.annotate("0: no difference", (1, 0), (-2, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", fontsize=7)  # fmt: skip
    ax.margins(y=0.3)
    ax.set_xlim(-0.6, len(results) - 0.4)
    names = [f"{plain(one.get('arm', ''), 18)}\n{plain(one.get('label', ''), 30)}" for one in results]
    ax.set_xticks(range(len(results)), names)
    ax.set(title="paired difference, 95 % interval", ylabel="loss of arm - loss of recipe")
