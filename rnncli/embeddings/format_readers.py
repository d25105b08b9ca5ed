"""Rows of word-vector files, text and binary, read in blocks into one array that grows where it lies.

Text lines of the usual form (a word and d numbers between single spaces) go to Arrow's CSV parser a block at a time; it
rounds to float32 correctly, so what `formats.write_vectors` wrote comes back bit by bit. All other lines are taken
one by one.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from rnncli.embeddings.damage import DamageLog

BLOCK_BYTES = 4 << 20
LONGEST_LINE = 64 << 20  # a longer one is no row of numbers
LONGEST_WORD = 1 << 16  # bytes before the space, in a binary file
BOM = b"\xef\xbb\xbf"
ONE_BY_ONE = 64  # lines among which a bad number is looked for one by one
SPACE, NEWLINE, RETURN = 32, 10, 13

Vectors = NDArray[np.float32]


class Rows:
    """Words and their vectors as they come; keeps the first of equal words."""

    def __init__(self, dim: int, log: DamageLog) -> None:
        self.dim, self.log = dim, log
        self.words: dict[str, None] = {}  # in the order of the rows
        self.vectors_VE: Vectors = np.empty((0, dim), np.float32)

    def add(self, tokens: list[bytes], vectors_NE: Vectors, places: NDArray[np.int64]) -> None:
        """Append the rows that are sound; `places` are their lines or rows, ascending."""
        words = _decoded(tokens)
        finite = np.asarray(np.isfinite(vectors_NE).all(axis=1))
        distinct = dict.fromkeys(words)
        if (
            finite.all()
            and len(distinct) == len(words)
            and None not in distinct
            and distinct.keys().isdisjoint(self.words)
        ):
            self._append(vectors_NE)
            self.words.update(distinct)  # type: ignore[arg-type]
            return
        kept = []
        for i, (word, sound, place) in enumerate(zip(words, finite.tolist(), places.tolist(), strict=True)):
            if word is None:
                self.log.add("bad_utf8", place)
            elif not sound:
                self.log.add("non_finite", place)
            elif word in self.words:
                self.log.add("duplicates", place)
            else:
                self.words[word] = None
                kept.append(i)
        self._append(vectors_NE[kept], len(self.words) - len(kept))

    def _append(self, vectors_NE: Vectors, at: int | None = None) -> None:
        at = len(self.words) if at is None else at
        end = at + len(vectors_NE)
        if end > len(self.vectors_VE):
            # In place where the system can: no second copy of the vectors.
            self.vectors_VE.resize((max(end, at + at // 8), self.dim), refcheck=False)
        self.vectors_VE[at:end] = vectors_NE

    def finish(self) -> tuple[list[str], Vectors]:
        """The words and their vectors (V, d)."""
        self.vectors_VE.resize((len(self.words), self.dim), refcheck=False)
        return list(self.words), self.vectors_VE


def _decoded(tokens: list[bytes]) -> list[str | None]:
    """The tokens as text, None where one is not UTF-8."""
    try:
        words: list[str | None] = pa.array(tokens, pa.binary()).cast(pa.string()).to_pylist()
        return words
    except pa.ArrowInvalid:
        return [_decoded_one(token) for token in tokens]


def _decoded_one(token: bytes) -> str | None:
    try:
        return token.decode()
    except UnicodeDecodeError:
        return None


def read_text_rows(head: bytes, stream: BinaryIO, rows: Rows, first_line: int) -> int:
    """Read all lines of `head` and then of `stream`; returns how many were not blank.

    `first_line` is the number of the first one. Raises ArtifactError at damage when the log is strict.
    """
    line, seen = first_line, 0
    for text in _line_blocks(head, stream):
        text = text.replace(b"\r\n", b"\n").replace(b"\t", b" ").replace(b" \n", b"\n")
        tokens, vectors_NE, places, filled = _parse_block(text, rows.dim, line, rows.log)
        rows.add(tokens, vectors_NE, places)
        rows.log.check()
        line, seen = line + text.count(b"\n"), seen + filled
    return seen


def _line_blocks(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines, each block ending with a newline."""
    parts: list[bytes] = []
    held = 0
    chunk = head or stream.read(BLOCK_BYTES)
    while chunk:
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield b"".join([*parts, chunk[:cut]])
            parts, held = [], 0
        if held < LONGEST_LINE:  # the rest of an endless line is dropped; it is one damaged line anyway
            parts.append(chunk[cut:])
            held += len(chunk) - cut
        chunk = stream.read(BLOCK_BYTES)
    if held:
        yield b"".join(parts) + b"\n"


def _parse_block(
    text: bytes, dim: int, first_line: int, log: DamageLog
) -> tuple[list[bytes], Vectors, NDArray[np.int64], int]:
    """Tokens, vectors and line numbers of the lines that are rows, and how many lines were not blank."""
    block = _Block(text, dim)
    usual = block.usual_lines()
    odd = np.flatnonzero(~usual).tolist() + block.parse(np.flatnonzero(usual))
    blank = 0
    for i in odd:
        fields = [f for f in text[block.starts[i] : block.ends[i]].split(b" ") if f]
        if not fields:
            blank += 1
        elif len(fields) <= dim:
            log.add("wrong_field_count", first_line + i)
        elif (numbers := to_numbers(fields[-dim:])) is None:
            log.add("bad_numbers", first_line + i)
        else:
            if len(fields) > dim + 1:
                log.add("tokens_with_spaces", first_line + i)
            block.put(i, b" ".join(fields[:-dim]), numbers)
    found = np.flatnonzero(block.is_row)
    tokens, vectors_NE = block.tokens, block.vectors_NE
    if len(found) < len(tokens):
        tokens, vectors_NE = [tokens[i] for i in found.tolist()], vectors_NE[found]
    return tokens, vectors_NE, found + first_line, len(block.tokens) - blank


class _Block:
    """N lines, and the rows that were found in them so far."""

    def __init__(self, text: bytes, dim: int) -> None:
        self.text, self.dim = text, dim
        self.data = np.frombuffer(text, np.uint8)
        self.ends = np.flatnonzero(self.data == NEWLINE)
        self.starts = np.concatenate([np.zeros(1, np.int64), self.ends[:-1] + 1])
        self.tokens = [b""] * len(self.ends)
        self.vectors_NE = np.empty((len(self.ends), dim), np.float32)
        self.is_row = np.zeros(len(self.ends), np.bool_)

    def usual_lines(self) -> NDArray[np.bool_]:
        """Which lines are, by their separators, a word and d numbers; (N,)."""
        spaces = np.searchsorted(np.flatnonzero(self.data == SPACE), np.append(self.starts, len(self.data)))
        usual: NDArray[np.bool_] = (np.diff(spaces) == self.dim) & (self.data[self.starts] != SPACE)
        if b"\r" in self.text:  # Arrow would take it for a line end
            usual[np.searchsorted(self.ends, np.flatnonzero(self.data == RETURN))] = False
        for i in np.flatnonzero(self.data[self.starts] == BOM[0]).tolist():  # Arrow would drop it
            usual[i] &= not self.text.startswith(BOM, self.starts[i])
        return usual

    def put(self, i: int, token: bytes, numbers: Vectors) -> None:
        """Line i is this row."""
        self.tokens[i], self.vectors_NE[i], self.is_row[i] = token, numbers, True

    def parse(self, lines: NDArray[np.int64]) -> list[int]:
        """Let Arrow read usual lines; returns those among which some number is none."""
        if not len(lines):
            return []
        breaks = np.flatnonzero(np.diff(lines) > 1)
        first, last = np.append(lines[0], lines[breaks + 1]), np.append(lines[breaks], lines[-1])
        pieces = zip(self.starts[first].tolist(), self.ends[last].tolist(), strict=True)
        try:
            columns = _read_columns(b"".join(self.text[start : end + 1] for start, end in pieces), self.dim)
        except pa.ArrowInvalid:
            if len(lines) <= ONE_BY_ONE:
                return [int(i) for i in lines]
            half = len(lines) // 2
            return self.parse(lines[:half]) + self.parse(lines[half:])
        at = slice(lines[0], lines[-1] + 1) if len(breaks) == 0 else lines
        for j in range(self.dim):
            self.vectors_NE[at, j] = columns[j + 1].to_numpy()
        for i, token in zip(lines.tolist(), columns[0].to_pylist(), strict=True):
            self.tokens[i] = token
        self.is_row[at] = True
        return []


def _read_columns(text: bytes, dim: int) -> Any:
    """The word column (binary) and d float32 columns of lines with d single spaces each. Raises pa.ArrowInvalid."""
    return pyarrow.csv.read_csv(
        pa.BufferReader(text),
        read_options=pyarrow.csv.ReadOptions(column_names=_column_names(dim), block_size=len(text) + 1),
        parse_options=pyarrow.csv.ParseOptions(delimiter=" ", quote_char=False, escape_char=False),
        convert_options=_convert_options(dim),
    ).columns


@lru_cache(maxsize=1)
def _column_names(dim: int) -> list[str]:
    return [str(j) for j in range(dim + 1)]


@lru_cache(maxsize=1)
def _convert_options(dim: int) -> Any:
    types = dict.fromkeys(_column_names(dim), pa.float32()) | {"0": pa.binary()}
    return pyarrow.csv.ConvertOptions(check_utf8=False, null_values=[], column_types=types)


def to_numbers(fields: list[bytes]) -> Vectors | None:
    """The fields as float32 (n,), rounded correctly; None when one is not a number."""
    try:
        numbers: Vectors = pa.array(fields, pa.binary()).cast(pa.string()).cast(pa.float32()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return numbers


def read_binary_rows(head: bytes, stream: BinaryIO, rows: Rows, declared: int) -> int:
    """Read `declared` rows of a word, a space and d little-endian float32, an optional newline between rows.

    Returns how many rows there were. Where the file ends early, or what should be a word cannot be one, the rows
    before it are kept. Raises ArtifactError at damage when the log is strict.
    """
    size, row, buffer = 4 * rows.dim, 0, head
    while True:
        tokens: list[bytes] = []
        offsets: list[int] = []
        at = 0
        while row + len(tokens) < declared:
            space = buffer.find(b" ", at, at + LONGEST_WORD)
            if space < 0 or space + 1 + size > len(buffer):
                break
            tokens.append(buffer[at:space].lstrip(b"\n"))
            offsets.append(space + 1)
            at = space + 1 + size
        vectors_NE = np.empty((len(tokens), rows.dim), np.float32)
        for i, offset in enumerate(offsets):
            vectors_NE[i] = np.frombuffer(buffer, "<f4", rows.dim, offset)
        rows.add(tokens, vectors_NE, np.arange(row + 1, row + len(tokens) + 1))
        rows.log.check()
        row, buffer = row + len(tokens), buffer[at:]
        if row == declared:
            break
        unreadable = len(buffer) > LONGEST_WORD and b" " not in buffer[:LONGEST_WORD]
        more = b"" if unreadable else stream.read(max(BLOCK_BYTES, size))
        if not more:
            kind = "truncated" if buffer.lstrip(b"\n") else "header_mismatch"
            rows.log.add(kind, row + 1, declared - row)
            break
        buffer += more
    if row == declared and (buffer.lstrip(b"\n") or stream.read(1)):
        rows.log.add("header_mismatch", row + 1)
    rows.log.check()
    return row
