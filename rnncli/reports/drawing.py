"""What all figures share: the style, a grid of panels, reading numbers that may be absent, and bytes that never change."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Json = dict[str, Any]

WIDTH = 8.0  # inches; the page scales a figure to the width of the text
COLOURS = "cividis"  # grows in lightness from end to end, so a grey print keeps the order
# Series differ in dash, marker and lightness at once: any one of the three suffices to tell them apart.
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = "osD^vPX*"
HATCHES = ("", "///", "...", "\\\\\\", "xx", "--", "oo", "++", "||", "**")
INKS = ("#000000", "#7a4b00", "#0b5fa5", "#8c8c8c", "#a03050", "#2c7a4b")

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "legend.framealpha": 0.9,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "hatch.linewidth": 0.6,
    "image.cmap": COLOURS,
    "text.parse_math": False,  # a token may hold dollar signs
    "svg.fonttype": "none",  # text stays text: small files, and words that can be searched
}


@contextmanager
def style() -> Iterator[None]:
    """The user's own matplotlib settings neither show nor change. Words in scripts that the font lacks are no fault."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


def render(figure: Figure, format: str, salt: str) -> bytes:
    """The figure as `svg` or `png`: the same bytes for the same figure, without a date or a version."""
    out = io.BytesIO()
    with style(), matplotlib.rc_context({"svg.hashsalt": salt}):
        if format == "svg":
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        elif format == "png":
            figure.savefig(out, format="png", dpi=150, metadata={"Software": None})
        else:
            raise ValueError(f"format must be svg or png, not {format!r}")
    return out.getvalue()


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure (inches) that knows no window and no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(count: int, height: float = 2.9, columns: int = 2, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A grid of `count` equal panels; a single one takes the whole width."""
    columns = min(columns, count)
    rows = ceil(count / columns)
    figure = new_figure(height * rows + 0.3 * (rows == 1))
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def legend_below(figure: Figure, axes: Sequence[Axes], columns: int = 4) -> None:
    """One legend for all panels, under them: it hides no data and says each name once."""
    entries: dict[str, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, handlelength=3.2)


def dig(value: Any, *keys: str) -> Any:
    """The value under nested keys, None where any of them is absent, null or an empty list."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return None if value == [] or value == {} else value


def floats(values: Any) -> Floats | None:
    """A list of numbers as an array, null as NaN (a gap in a line); None where nothing was measured."""
    if not values:
        return None
    array = np.array([np.nan if v is None else v for v in values], np.float64)
    return array if np.isfinite(array).any() else None


def table(rows: Any) -> Floats | None:
    """A list of rows as an array, short rows filled with NaN; None where nothing was measured."""
    if not rows:
        return None
    array = np.full((len(rows), max(map(len, rows))), np.nan)
    for i, row in enumerate(rows):
        array[i, : len(row)] = [np.nan if v is None else v for v in row]
    return array if np.isfinite(array).any() else None


def layers(report: Json, *keys: str) -> list[tuple[str, Json]]:
    """(name, layer) of each layer and direction that has something under `keys`."""
    every = report.get("layers") or []
    both = len({layer.get("direction", "forward") for layer in every}) > 1
    named = []
    for layer in every:
        name = f"layer {layer.get('layer', 0)}" + (f" {layer.get('direction', 'forward')}" if both else "")
        if dig(layer, *keys) is not None:
            named.append((name, layer))
    return named


def plain(text: object, longest: int = 0) -> str:
    """A text from a file, fit for a figure: no control characters (XML forbids them), cut to `longest` characters."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return shown if not longest or len(shown) <= longest else shown[: longest - 1] + "…"


def hatch_cells(ax: Axes, mask: Any, hatch: str, ink: str) -> None:
    """Hatches the cells of `mask`, one rectangle per run of cells so that the file stays small."""
    boxes = []
    for i, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(int), [0]))))
        boxes += [Rectangle((a - 0.5, i - 0.5), b - a, 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    if boxes:
        ax.add_collection(PatchCollection(boxes, facecolor="none", edgecolor=ink, hatch=hatch, linewidth=0))
