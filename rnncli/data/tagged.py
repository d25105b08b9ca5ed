"""Files with one token a line and its labels beside it, a blank line after each sentence; and sentences to be tagged.

White space is the ASCII one (space, tab, \\v, \\f) in both: a no-break space is part of a token.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rnncli.data.streams import BOM, LineBlock, check_text, display_name, open_bytes, read_line_blocks
from rnncli.errors import CorpusError

CONLLU_COLUMNS = ["ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC"]
SKIPPED_ID = re.compile(rb"[0-9]+[-.][0-9]+\t")  # words of several tokens, and tokens that are not written
CONLLU_LINE = re.compile(rb"[0-9]+([-.][0-9]+)?\t([^\t]*\t){8}[^\t]*")
DOCUMENT_START = b"-DOCSTART-"

Column = str | int
NumberedLine = tuple[int, bytes]  # line number from 1, line without its end


@dataclass(frozen=True)
class TaggedTexts:
    """Sentences token after token: those of sentence i are at offsets[i]:offsets[i+1], none is empty.

    `columns` are the further columns that were asked for, by the name or number they were asked by (as text); `lines`
    are where each token stands in `path`, from 1.
    """

    tokens: list[str]  # N of them, as are labels, lines and each column
    offsets: NDArray[np.int64]  # (n + 1,)
    labels: list[str]
    columns: dict[str, list[str]]
    lines: list[int]
    path: str


@dataclass(frozen=True)
class _Layout:
    """How the lines of one file are cut; found in its first line."""

    separator: bytes | None  # None: white space
    width: int  # fields of a line
    width_line: int  # the line that says so
    begins_with_hash: bool
    conllu: bool
    names: list[str]  # of the columns, none without a header


def read_tagged(
    path: Path, token_column: Column = 0, label_column: Column = -1, columns: Sequence[Column] = ()
) -> TaggedTexts:
    """Read a file with one token a line; its columns lie between tabs if the first line has one, else white space.

    A column is a number (from 0; from the end if negative; "3" is 3) or a name. A name makes the first line a header,
    but a CoNLL-U file, known by ten columns of which the first is a number, has the names FORM, UPOS and so on by
    itself. Left out are -DOCSTART- lines and, in CoNLL-U only, comments and the ids 1-2 and 1.1.

    Raises UsageError for a missing file, CorpusError with path and line for anything wrong in it.
    """
    name = display_name(path)
    wanted = [_number_or_name(column) for column in (token_column, label_column, *columns)]
    lines = _numbered_lines(read_line_blocks(path))
    layout, lines = _layout(lines, any(isinstance(column, str) for column in wanted), name)
    where = f"{name}:{layout.width_line}"
    if layout.conllu and (wanted[0] == 0 or wanted[1] == -1):
        raise CorpusError(f"{where}: a CoNLL-U file; name the columns of token and label, for example FORM and UPOS")
    places = [_place(column, layout, where) for column in wanted]
    if places[0] == places[1]:
        raise CorpusError(
            f"{where}: column {places[0]} is both token and label ({_fields(layout.width)} in a line); "
            "a tagged file has a token and its label on each line, and a blank line after each sentence"
        )
    numbers, offsets, rows = _rows(lines, layout, name)
    if not rows:
        raise CorpusError(f"{name}: no tagged token in it; write a token and its label a line, and a blank line after")
    kinds = ["token", "label", *(f"value of column {str(column)!r}" for column in columns)]
    values = [_values(rows, place, kind, numbers, name) for place, kind in zip(places, kinds, strict=True)]
    further = {str(column): found for column, found in zip(columns, values[2:], strict=True)}
    return TaggedTexts(values[0], np.array(offsets, dtype=np.int64), values[1], further, numbers, name)


def _number_or_name(column: Column) -> Column:
    return int(column) if isinstance(column, int) or re.fullmatch(r"-?[0-9]+", column) else column


def _numbered_lines(blocks: Iterator[LineBlock]) -> Iterator[NumberedLine]:
    for block in blocks:
        yield from enumerate(block.text.removesuffix(b"\n").split(b"\n"), start=block.first_line)


def _layout(lines: Iterator[NumberedLine], named: bool, name: str) -> tuple[_Layout, Iterator[NumberedLine]]:
    """The layout, and the lines that hold data."""
    held: list[NumberedLine] = []  # comments of CoNLL-U, or tokens that begin with #
    for number, line in lines:
        if not line.strip() or line.startswith(DOCUMENT_START):
            continue
        held.append((number, line))
        if not line.startswith(b"#"):
            break
    if not held:
        raise CorpusError(f"{name}: the file is empty; it needs a token and its label a line")
    number, line = held[-1]
    if CONLLU_LINE.fullmatch(line):
        return _Layout(b"\t", 10, number, False, True, CONLLU_COLUMNS), chain(held[-1:], lines)
    number, line = held[0]
    separator = b"\t" if b"\t" in line else None
    fields = line.split(separator)
    names = [field.strip().decode() for field in fields] if named else []
    return _Layout(separator, len(fields), number, line.startswith(b"#"), False, names), chain(
        held[1:] if named else held, lines
    )


def _place(column: Column, layout: _Layout, where: str) -> int:
    """The number of a column, from 0."""
    if isinstance(column, int):
        if -layout.width <= column < layout.width:
            return column % layout.width
        raise CorpusError(f"{where}: no column {column}; there are {_fields(layout.width)}, numbered from 0")
    names = [known.lower() for known in layout.names] if layout.conllu else layout.names
    wanted = column.lower() if layout.conllu else column
    if names.count(wanted) > 1:
        raise CorpusError(f"{where}: column {column!r} is there {names.count(wanted)} times; rename all but one")
    if wanted in names:
        return names.index(wanted)
    known = ", ".join(repr(known) for known in layout.names[:20])
    by_lower = {known.lower(): known for known in layout.names}
    close = difflib.get_close_matches(wanted.lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[close[0]]!r}?" if close else "without a header, give numbers from 0"
    raise CorpusError(f"{where}: no column {column!r}; the columns are {known}; {hint}")


def _rows(lines: Iterator[NumberedLine], layout: _Layout, name: str) -> tuple[list[int], list[int], list[list[bytes]]]:
    """Line numbers and fields of every token (N), and the offsets of sentences (n + 1)."""
    numbers: list[int] = []
    offsets = [0]
    rows: list[list[bytes]] = []
    separator, width = layout.separator, layout.width
    for number, line in lines:
        fields = line.split(separator)
        if not line.strip() or line.startswith(DOCUMENT_START):
            if len(rows) > offsets[-1]:
                offsets.append(len(rows))
        elif layout.conllu and (line.startswith(b"#") or SKIPPED_ID.match(line)):
            continue
        elif len(fields) == width:
            rows.append(fields)
            numbers.append(number)
        else:
            hint = "one token a line"
            if line.startswith(b"#") or layout.begins_with_hash:
                hint = "# begins a comment in CoNLL-U files only"
            raise CorpusError(
                f"{name}:{number}: {_fields(len(fields))} where line {layout.width_line} has {width}; {hint}, "
                f"{'a tab' if separator else 'white space'} between its columns"
            )
    if len(rows) > offsets[-1]:
        offsets.append(len(rows))
    return numbers, offsets, rows


def _values(rows: list[list[bytes]], place: int, kind: str, numbers: list[int], name: str) -> list[str]:
    """One column (N,) as text."""
    fields = [row[place].strip() for row in rows]
    if not all(fields):
        raise CorpusError(f"{name}:{numbers[fields.index(b'')]}: the {kind} is missing")
    return b"\n".join(fields).decode().split("\n")  # one decoding instead of N; no field holds a line end


def _fields(n: int) -> str:
    return f"{n} column" if n == 1 else f"{n} columns"


def read_untagged(path: Path) -> Iterator[list[str]]:
    """The tokens of each line, between white space, as lines arrive: n lines give n sentences, a blank one an empty one.

    Raises UsageError (at once) for a missing file; CorpusError with path and line, while reading, for text that is
    not UTF-8 and for NUL bytes.
    """
    return _sentences(open_bytes(path), display_name(path))


def _sentences(stream: BinaryIO, name: str) -> Iterator[list[str]]:
    with stream:
        for number, raw in enumerate(stream, start=1):
            line = raw.removeprefix(BOM) if number == 1 else raw
            check_text(line, name, number)
            yield [token.decode() for token in line.split()]
