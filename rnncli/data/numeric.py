"""Series of numbers and numbers as labels: read from files, and put into one scale."""

import csv
import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.rnn import DataFormat
from rnncli.data.readers import LabelledTexts, read_labelled
from rnncli.data.streams import display_name, read_line_blocks
from rnncli.errors import ArtifactError, CorpusError

LARGEST = float(np.finfo(np.float32).max)  # what the network's numbers can hold
LARGEST_FIELD = 1 << 30  # of a CSV file; Python's default refuses series of 128 k characters

NumberedLine = tuple[int, str]  # line number from 1, text without its line end


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
        """Mean and standard deviation of the columns of `values` (n, k); a constant column keeps its scale, n may be 0."""
        wide = np.asarray(values, np.float64)
        if len(wide) == 0:
            return cls(np.zeros(wide.shape[1]), np.ones(wide.shape[1]))
        # rounding gives a constant column a deviation of about 1e-17 times its value, which is no scale
        varies = wide.max(axis=0) > wide.min(axis=0)
        mean, scale = np.where(varies, wide.mean(axis=0), wide[0]), wide.std(axis=0)
        return cls(mean, np.where(varies & (scale > 0), scale, 1.0))

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
        finite = np.isfinite(mean).all() and np.isfinite(scale).all()
        if mean.ndim != 1 or mean.shape != scale.shape or not finite or not (scale > 0).all():
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


def to_number(text: object) -> float | None:
    """A number, or None for what is none: text, NaN, infinity, and what is too large for the network's 32 bits."""
    if isinstance(text, bool) or (isinstance(text, str) and "_" in text):  # Python reads 1_0 as ten
        return None
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return value if abs(value) <= LARGEST else None


def _number(text: object, where: str) -> float:
    value = to_number(text)
    if value is None:
        shown = repr(text)
        raise CorpusError(f"{where} {shown if len(shown) < 50 else shown[:40] + '...'} is not a number")
    return value


def numbered_lines(path: Path) -> Iterator[NumberedLine]:
    """The lines of a file. Raises UsageError (at once) for one that cannot be opened, CorpusError as read_line_blocks."""
    blocks = read_line_blocks(path)
    return (
        line
        for block in blocks
        for line in enumerate(block.text.decode().removesuffix("\n").split("\n"), start=block.first_line)
    )


def table_rows(lines: Iterable[NumberedLine], name: str) -> Iterator[tuple[int, list[str]]]:
    """The header, then the rows of a table with the lines they start at; all are as wide as the header.

    Where the header has a tab, fields lie between tabs and a quote is an ordinary character; else the table is CSV, whose
    quoted fields may span lines. Blank lines are skipped. Raises CorpusError with path and line.
    """
    lines = iter(lines)
    filled = (line for line in lines if line[1].strip())
    first = next(filled, None)
    if first is None:
        return
    rows: Iterator[tuple[int, list[str]]]
    if "\t" in first[1]:
        rows = ((number, text.split("\t")) for number, text in chain([first], filled))
    else:
        rows = _csv_rows(chain([first], lines), name)
    header: list[str] | None = None
    for number, cells in rows:
        if header is None:
            cells = header = [cell.strip() for cell in cells]
        elif len(cells) != len(header):
            raise CorpusError(f"{name}:{number}: {len(cells)} fields where the header has {len(header)}")
        yield number, cells


def _csv_rows(lines: Iterator[NumberedLine], name: str) -> Iterator[tuple[int, list[str]]]:
    start = last = 0  # lines of the record: its first, and the one that the csv module was given last

    def physical_lines() -> Iterator[str]:
        nonlocal start, last
        for number, line in lines:
            start, last = start or number, number
            yield line + "\n"

    limit = csv.field_size_limit(LARGEST_FIELD)
    try:
        reader = csv.reader(physical_lines(), strict=True)
        while True:
            start = 0
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise CorpusError(f"{name}:{start}: not valid CSV ({error}); quote fields as RFC 4180 says") from None
            if row is None:
                return
            if row and not (len(row) == 1 and row[0].isspace()):
                yield start, row
    finally:
        csv.field_size_limit(limit)


def column_of(header: list[str], wanted: str, where: str) -> int:
    """Where a column stands; CorpusError where it is not there or there twice."""
    if wanted not in header:
        close = difflib.get_close_matches(wanted, header, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise CorpusError(f"{where}: no column {wanted!r}; the columns are {', '.join(header)}{hint}")
    if header.count(wanted) > 1:
        raise CorpusError(f"{where}: column {wanted!r} is there {header.count(wanted)} times; rename all but one")
    return header.index(wanted)


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
    lines = numbered_lines(path)
    first = next((line for line in lines if line[1].strip()), (1, ""))
    if not first[1].lstrip().startswith("{"):
        rows = table_rows(chain([first], lines), name)
        at, header = next(rows, (1, []))
        if not header:
            return
        series_at, label_at = (column_of(header, column, f"{name}:{at}") for column in (series_column, label_column))
        for number, cells in rows:
            yield number, cells[series_at], cells[label_at]
        return
    for number, text in chain([first], lines):
        if not text.strip():
            continue
        item = _json(text, f"{name}:{number}")
        for key in (series_column, label_column):
            if not isinstance(item, dict) or key not in item:
                raise CorpusError(f"{name}:{number}: no key {key!r}; each line is an object with a series and a label")
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
