"""Results on standard output: tables for people, strict JSON for programs."""

import json
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table: ruled and coloured on a terminal, aligned plain lines (one per row, never cut) elsewhere.

    Floats are shown with four significant digits, None as `-`; columns of numbers are set flush right. An empty title
    is left out.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [
        bool(rows) and all(value is None or _is_number(value) for value in column) for column in zip(*rows, strict=True)
    ] or [False] * len(columns)
    if sys.stdout.isatty():
        _print_rich(title, columns, cells, numeric)
    else:
        _print_plain(title, columns, cells, numeric)


def print_json(obj: Any) -> None:
    """One strict JSON document (NaN and infinity are a ValueError), in ASCII where the stream cannot do better."""
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(json.dumps(obj, indent=2, allow_nan=False, ensure_ascii=ascii_only) + "\n")


def print_json_line(obj: Any) -> None:
    """One strict JSON document on one line, for JSON Lines."""
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(json.dumps(obj, allow_nan=False, ensure_ascii=ascii_only) + "\n")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    return printable(str(value))


def printable(text: str) -> str:
    """Words come from files: a control character must not reach the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _print_rich(title: str, columns: Sequence[str], cells: list[list[str]], numeric: Sequence[bool]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, right in zip(columns, numeric, strict=True):
        table.add_column(Text(column), justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, highlight=False).print(table)


def _print_plain(title: str, columns: Sequence[str], cells: list[list[str]], numeric: Sequence[bool]) -> None:
    widths = [max(map(_width, column)) for column in zip(columns, *cells, strict=True)]
    lines = [title] if title else []
    for row in (list(columns), *cells):
        padded = []
        for cell, width, right in zip(row, widths, numeric, strict=True):
            pad = " " * (width - _width(cell))
            padded.append(pad + cell if right else cell + pad)
        lines.append("  ".join(padded).rstrip())
    sys.stdout.write("\n".join(lines) + "\n")


def _width(text: str) -> int:
    """Columns a text takes on a terminal: two for East Asian wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
