"""A table of channels over time: windows to learn from, and what simple guesses foretell."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnncli.data.numeric import NumberedLine, NumericRows, column_of, numbered_lines, table_rows, to_number
from rnncli.data.streams import display_name
from rnncli.errors import ConfigError, CorpusError

Array = NDArray[np.float64]


def read_table(path: Path, channels: Sequence[str] | None = None) -> tuple[list[str], Array, list[int]]:
    """Names, values (rows, channels) and line numbers of a CSV or TSV file with a header.

    Without `channels` every column whose first cell that is not blank is a number is one; others (dates, say) are left out.
    Raises UsageError for a missing file; CorpusError, with path and line, for a column that is not there or there twice, and
    for a cell that is no number.
    """
    return _table(numbered_lines(path), channels, display_name(path))


def table_of(lines: Iterable[str], channels: Sequence[str] | None = None) -> tuple[list[str], Array]:
    """The same of lines that are at hand."""
    names, values, _ = _table(enumerate(lines, start=1), channels, "the table")
    return names, values


def _table(
    source: Iterable[NumberedLine], channels: Sequence[str] | None, name: str
) -> tuple[list[str], Array, list[int]]:
    rows = table_rows(source, name)
    top, header = next(rows, (1, []))
    if not header:
        raise CorpusError(f"{name}:1: the file is empty; it needs a header and rows")
    numbered = list(rows)
    if not numbered:
        raise CorpusError(f"{name}: there is a header but no row")
    if channels is None:
        channels = [title for c, title in enumerate(header) if _holds_numbers(row[c] for _, row in numbered)]
        if not channels:
            raise CorpusError(f"{name}:{numbered[0][0]}: no column holds numbers")
    at = [column_of(header, title, f"{name}:{top}") for title in channels]
    values = np.empty((len(numbered), len(at)))
    for r, (line, row) in enumerate(numbered):
        for c, column in enumerate(at):
            value = to_number(row[column])
            if value is None:
                raise CorpusError(f"{name}:{line}: {header[column]} is {row[column]!r}, not a number")
            values[r, c] = value
    return list(channels), values, [line for line, _ in numbered]


def _holds_numbers(cells: Iterable[str]) -> bool:
    """Whether the first cell that is not blank is a number: a column that begins late is not to be lost in silence."""
    return to_number(next((cell for cell in cells if cell.strip()), "")) is not None


def split_bounds(rows: int, split: Sequence[float]) -> list[int]:
    """The bounds (4,) of training, validation and test part: shares of all rows, or numbers of rows."""
    ends = [sum(split[: part + 1]) for part in range(len(split))]
    if ends[-1] <= 1.0 + 1e-9:
        ends = [
            min(round(end * rows), rows) for end in ends
        ]  # the ends, not the parts: rounded parts may exceed the whole
    if ends[-1] > rows:
        raise ConfigError(f"data.split: {round(ends[-1])} rows are asked for, the table has {rows}")
    return [0, *(round(end) for end in ends)]


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
    values -= values[:, -1:].copy()
    targets = (rows.targets.astype(np.float64) - guess).astype(np.float32)
    starts = np.cumsum(rows.lengths) - rows.lengths
    return NumericRows(values.reshape(-1, rows.channels), starts, rows.lengths, targets)


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
