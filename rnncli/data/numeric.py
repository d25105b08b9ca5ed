"""Series of numbers and numbers as labels: read from files, and put into one scale."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.rnn import DataFormat
from rnncli.data.readers import LabelledTexts, read_labelled
from rnncli.data.streams import display_name, read_line_blocks
from rnncli.errors import ArtifactError, CorpusError


@dataclass(frozen=True, eq=False)
class NumericRows:
    """n series: row i is values[starts[i] : starts[i] + lengths[i]]; rows may overlap, as the windows of a forecast do."""

    values: NDArray[np.float32]  # (tokens, I) all steps
    starts: NDArray[np.int64]  # (n,)
    lengths: NDArray[np.int64]  # (n,)
    targets: NDArray[np.float32]  # (n, O)

    @property
    def n(self) -> int:
        return self.lengths.size

    @property
    def channels(self) -> int:
        return int(self.values.shape[1])

    @property
    def outputs(self) -> int:
        return int(self.targets.shape[1])

    def take(self, rows: NDArray[np.int64]) -> "NumericRows":
        """Some of the rows; the values are shared."""
        return NumericRows(self.values, self.starts[rows], self.lengths[rows], self.targets[rows])


@dataclass(frozen=True, eq=False)
class Standardiser:
    """(x - mean) / scale for each of k columns."""

    mean: NDArray[np.float64]  # (k,)
    scale: NDArray[np.float64]  # (k,)

    @classmethod
    def fit(cls, values: NDArray[Any]) -> "Standardiser":
        """Mean and standard deviation of the columns of `values` (n, k); a constant column keeps its scale."""
        wide = np.asarray(values, np.float64)
        scale = wide.std(axis=0)
        return cls(wide.mean(axis=0), np.where(scale > 0, scale, 1.0))

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Into the scale of the network."""
        return np.asarray((np.asarray(values, np.float64) - self.mean) / self.scale)

    def invert(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Back into the scale of the data."""
        return np.asarray(np.asarray(values, np.float64) * self.scale + self.mean)

    def to_json(self) -> dict[str, list[float]]:
        """As plain numbers."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, stored: dict[str, list[float]]) -> "Standardiser":
        """The inverse; ArtifactError where it is damaged."""
        mean, scale = np.array(stored["mean"], np.float64), np.array(stored["scale"], np.float64)
        if mean.ndim != 1 or mean.shape != scale.shape or not (np.isfinite(mean).all() and (scale > 0).all()):
            raise ArtifactError("the stored scale is damaged; train again or restore the file")
        return cls(mean, scale)


def read_number_labels(
    path: Path, format: DataFormat = "auto", text_column: str = "text", label_column: str = "label"
) -> tuple[LabelledTexts, NDArray[np.float64]]:
    """Texts whose labels are numbers, (n, 1). Raises UsageError for a missing file, CorpusError with path and line."""
    records = read_labelled(path, format, text_column, label_column)
    numbers = [
        _number(label, f"{records.path}:{line}: label")
        for label, line in zip(records.labels, records.lines, strict=True)
    ]
    return records, np.array(numbers).reshape(-1, 1)


def _number(text: object, where: str) -> float:
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise CorpusError(f"{where} {text!r} is not a number") from None
    if isinstance(text, bool) or not math.isfinite(value):
        raise CorpusError(f"{where} {text!r} is not a number")
    return value


def read_series(
    path: Path, series_column: str = "series", label_column: str = "label"
) -> tuple[NumericRows, list[int]]:
    """Series with a number or a list of numbers each, and the line of each.

    jsonl      {"series": [1, 2, ...] or [[1, 2], [3, 4], ...], "label": 0.5 or [0.5, 1]}: a list of channels for each step
    tsv, csv   a header; the series is numbers with spaces between them, channels of a step joined by ':'

    Raises UsageError for a missing file and CorpusError, with path and line, for what is wrong in it.
    """
    name = display_name(path)
    parts: list[NDArray[np.float64]] = []
    labels: list[list[float]] = []
    lines: list[int] = []
    for line, series, label in _records(path, name, series_column, label_column):
        where = f"{name}:{line}"
        parts.append(_steps(series, where, _width(parts)))
        numbers = label if isinstance(label, list) else [label]
        labels.append([_number(one, f"{where}: label") for one in numbers])
        if len(labels[-1]) != len(labels[0]) or not labels[-1]:
            raise CorpusError(f"{where}: {len(labels[-1])} numbers as label where the first row has {len(labels[0])}")
        lines.append(line)
    if not parts:
        raise CorpusError(f"{name}: the file is empty; it needs series")
    width = _width(parts) or 1
    lengths = np.array([len(part) for part in parts], np.int64)
    values = np.concatenate([part.reshape(-1, width) for part in parts]).astype(np.float32)
    return NumericRows(values, np.cumsum(lengths) - lengths, lengths, np.array(labels, np.float32)), lines


def _width(parts: list[NDArray[np.float64]]) -> int | None:
    """Channels of the first series that has a step."""
    return next((int(part.shape[1]) for part in parts if len(part)), None)


def _records(path: Path, name: str, series_column: str, label_column: str) -> Iterator[tuple[int, Any, Any]]:
    first = next((line for block in read_line_blocks(path) for line in block.text.split(b"\n") if line.strip()), b"")
    if not first.lstrip().startswith(b"{"):
        table = read_labelled(path, "auto", series_column, label_column)
        yield from zip(table.lines, table.texts, table.labels, strict=True)
        return
    for block in read_line_blocks(path):
        for number, text in enumerate(block.text.decode().splitlines(), start=block.first_line):
            if text.strip():
                item = _json(text, f"{name}:{number}")
                for key in (series_column, label_column):
                    if not isinstance(item, dict) or key not in item:
                        raise CorpusError(
                            f"{name}:{number}: no key {key!r}; each line is an object with a series and a label"
                        )
                yield number, item[series_column], item[label_column]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise CorpusError(f"{where}: not JSON") from None


def _steps(series: Any, where: str, width: int | None) -> NDArray[np.float64]:
    """One series as (T, I)."""
    if isinstance(series, str):
        series = [step.split(":") if ":" in step else step for step in series.split()]
    if not isinstance(series, list):
        raise CorpusError(f"{where}: the series is not a list of numbers")
    rows = [step if isinstance(step, list) else [step] for step in series]
    wanted = width or (len(rows[0]) if rows else 1)
    for at, row in enumerate(rows, start=1):
        if len(row) != wanted or not row:
            raise CorpusError(f"{where}: step {at} has {len(row)} channels where there are {wanted}")
    return np.array([[_number(one, f"{where}: step {at}:") for one in row] for at, row in enumerate(rows, 1)]).reshape(
        -1, wanted
    )


def parse_series(text: str, where: str, series_column: str = "series") -> NDArray[np.float64]:
    """One series (T, I) from a line; a blank line is a series without steps."""
    series: Any = text
    if text.lstrip().startswith(("{", "[")):
        series = _json(text, where)
        if isinstance(series, dict):
            if series_column not in series:
                raise CorpusError(f"{where}: no key {series_column!r}")
            series = series[series_column]
    return _steps(series, where, None)
