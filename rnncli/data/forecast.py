"""A table of channels over time: windows to learn from, and what simple guesses foretell."""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnncli.data.numeric import NumericRows
from rnncli.data.streams import display_name, read_line_blocks
from rnncli.errors import ConfigError, CorpusError

Array = NDArray[np.float64]


def read_table(path: Path, channels: Sequence[str] | None = None) -> tuple[list[str], Array, list[int]]:
    """Names, values (rows, channels) and line numbers of a CSV or TSV file with a header.

    Without `channels` every column whose first value is a number is one; others (dates, say) are left out. Raises
    UsageError for a missing file; CorpusError, with path and line, for a column that is not there or a cell that is no number.
    """
    lines = (line for block in read_line_blocks(path) for line in block.text.decode().splitlines())
    return _table(lines, channels, display_name(path))


def table_of(lines: Iterable[str], channels: Sequence[str] | None = None) -> tuple[list[str], Array]:
    """The same of lines that are at hand."""
    names, values, _ = _table(lines, channels, "the table")
    return names, values


def _table(source: Iterable[str], channels: Sequence[str] | None, name: str) -> tuple[list[str], Array, list[int]]:
    lines = list(source)
    if not lines or not lines[0].strip():
        raise CorpusError(f"{name}:1: the file is empty; it needs a header and rows")
    rows = list(csv.reader(lines, delimiter="\t" if "\t" in lines[0] else ","))
    header = [cell.strip() for cell in rows[0]]
    numbered = [(i, row) for i, row in enumerate(rows[1:], start=2) if row]
    if not numbered:
        raise CorpusError(f"{name}: there is a header but no row")
    if channels is None:
        channels = [title for title, cell in zip(header, numbered[0][1], strict=False) if _number(cell) is not None]
        if not channels:
            raise CorpusError(f"{name}:{numbered[0][0]}: no column holds numbers")
    for title in channels:
        if title not in header:
            raise CorpusError(f"{name}:1: no column {title!r}; the columns are {', '.join(header)}")
    at = [header.index(title) for title in channels]
    values = np.empty((len(numbered), len(at)))
    for r, (line, row) in enumerate(numbered):
        if len(row) != len(header):
            raise CorpusError(f"{name}:{line}: {len(row)} fields where the header has {len(header)}")
        for c, column in enumerate(at):
            value = _number(row[column])
            if value is None:
                raise CorpusError(f"{name}:{line}: {header[column]} is {row[column]!r}, not a number")
            values[r, c] = value
    return list(channels), values, [line for line, _ in numbered]


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def split_bounds(rows: int, split: Sequence[float]) -> list[int]:
    """The bounds (4,) of training, validation and test part: shares of all rows, or numbers of rows."""
    counts = [round(part * rows) for part in split] if sum(split) <= 1.0 + 1e-9 else [round(part) for part in split]
    bounds = [0, *np.cumsum(counts).tolist()]
    if bounds[-1] > rows:
        raise ConfigError(f"data.split: {bounds[-1]} rows are asked for, the table has {rows}")
    return [int(bound) for bound in bounds]


def windows(values: Array, targets: NDArray[np.int64], window: int, horizon: int, first: int, last: int) -> NumericRows:
    """Every `window` steps whose next `horizon` steps lie in rows first .. last - 1; the window may begin before `first`.

    values (rows, I); targets: columns that are foretold. A row's numbers are time-major: step 1 of all targets, step 2, ...
    """
    origins = np.arange(max(first, window), last - horizon + 1)  # the first row that is foretold
    ahead = values[:, targets]
    steps = origins[:, None] + np.arange(horizon)
    wanted = ahead[steps].reshape(len(origins), horizon * len(targets))
    lengths = np.full(len(origins), window, np.int64)
    return NumericRows(values.astype(np.float32), origins - window, lengths, wanted.astype(np.float32))


def anchored(rows: NumericRows, guess: Array) -> NumericRows:
    """Windows relative to their last value, and numbers relative to a guess (n, O) of them.

    A level that wanders then means nothing to what is learned (the normalisation of NLinear, Zeng et al. 2023). Every window
    is written out, so this takes `window` times the memory of the table.
    """
    steps = rows.starts[:, None] + np.arange(rows.lengths[0] if rows.n else 0)
    values = rows.values[steps]
    values = (values - values[:, -1:]).reshape(-1, rows.channels)
    targets = (rows.targets.astype(np.float64) - guess).astype(np.float32)
    return NumericRows(np.ascontiguousarray(values), np.cumsum(rows.lengths) - rows.lengths, rows.lengths, targets)


def naive_forecasts(
    values: Array, targets: NDArray[np.int64], horizon: int, season: int, origins: NDArray[np.int64]
) -> dict[str, Array]:
    """Guesses (n, horizon x targets) for the rows from each origin on.

    persistence   the last value stays;   seasonal   the value one season before (the last season again where that is ahead)
    """
    ahead, n = values[:, targets], len(origins)
    last = np.repeat(ahead[origins - 1][:, None], horizon, axis=1)
    steps = np.arange(horizon)
    before = origins[:, None] - season + steps % season
    guesses = {"persistence": last.reshape(n, horizon * len(targets))}
    if n == 0 or before.min() >= 0:
        guesses["seasonal"] = ahead[before].reshape(n, horizon * len(targets))
    return guesses
