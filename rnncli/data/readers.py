"""Labelled files and lines to predict: records with the line they came from, or one sentence about what is wrong."""

import csv
import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from rnncli.config.rnn import DataFormat
from rnncli.data.streams import (
    BOM,
    STDIN,
    LineBlock,
    check_text,
    display_name,
    open_bytes,
    read_line_blocks,
)
from rnncli.errors import CorpusError

__all__ = ["LabelledTexts", "LineBlock", "TextLine", "open_bytes", "read_labelled", "read_line_blocks", "read_texts"]

FASTTEXT_PREFIX = "__label__"
COMPRESSED_SUFFIXES = {".gz", ".bz2", ".xz", ".zst"}
FORMAT_OF_SUFFIX: dict[str, DataFormat] = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
LARGEST_FIELD = 1 << 30


@dataclass(frozen=True)
class LabelledTexts:
    """The records of a labelled file, in order; `lines` are where each starts in `path`, from 1."""

    texts: list[str]
    labels: list[str]
    lines: list[int]
    path: str


@dataclass(frozen=True)
class TextLine:
    """One text to predict and its line, from 1."""

    line: int
    text: str


NumberedLine = tuple[int, str]  # line number from 1, text without its line end
Record = tuple[int, str, str]  # line, text, label


def read_labelled(
    path: Path,
    format: DataFormat = "auto",
    text_column: str = "text",
    label_column: str = "label",
    separator: str | None = None,
) -> LabelledTexts:
    """Read every record of a labelled file.

    tsv       a header, then fields between tabs; a quote is an ordinary character
    csv       a header, then RFC 4180 records; quoted fields may span lines
    jsonl     one object a line; a label that is a number or a boolean becomes its JSON text
    fasttext  `__label__x` and the text, no header

    Labels are text, outer white space removed; blank lines are skipped; a text may be empty. With `separator` a text may
    have several labels or none: they come joined by it, whether the file has them so, as a JSON list, or as several
    __label__. Raises UsageError for a missing file and CorpusError, with path and line, for anything wrong in it.
    """
    name = display_name(path)
    lines = _numbered_lines(read_line_blocks(path))
    first = next((line for line in lines if line[1].strip()), None)
    if first is None:
        raise CorpusError(f"{name}: the file is empty; it needs labelled texts")
    lines = chain([first], lines)
    chosen = _guess_format(path, first[1], name) if format == "auto" else format
    records: Iterator[Record]
    if chosen == "jsonl":
        records = _jsonl_records(lines, name, text_column, label_column, separator)
    elif chosen == "fasttext":
        records = _fasttext_records(lines, name, separator)
    else:
        rows = _csv_rows(lines, name) if chosen == "csv" else ((n, line.split("\t")) for n, line in lines if line)
        records = _table_records(rows, name, text_column, label_column)
    numbers: list[int] = []
    texts: list[str] = []
    labels: list[str] = []
    for number, text, raw_label in records:
        label = raw_label.strip()
        if not label and separator is None:
            raise CorpusError(f"{name}:{number}: the label is missing")
        numbers.append(number)
        texts.append(text)
        labels.append(label)
    if not texts:
        raise CorpusError(f"{name}: there is a header but no record; it needs labelled texts")
    return LabelledTexts(texts, labels, numbers, name)


def _numbered_lines(blocks: Iterable[LineBlock]) -> Iterator[NumberedLine]:
    for block in blocks:
        yield from enumerate(block.text.decode().removesuffix("\n").split("\n"), start=block.first_line)


def _guess_format(path: Path, first_line: str, name: str) -> DataFormat:
    if path != STDIN:
        suffixes = [s.lower() for s in path.suffixes if s.lower() not in COMPRESSED_SUFFIXES]
        if suffixes and suffixes[-1] in FORMAT_OF_SUFFIX:
            return FORMAT_OF_SUFFIX[suffixes[-1]]
    line = first_line.lstrip()
    if line.startswith(FASTTEXT_PREFIX):
        return "fasttext"
    if line.startswith("{"):
        return "jsonl"
    if "\t" in first_line:
        return "tsv"
    if "," in first_line:
        return "csv"
    raise CorpusError(
        f"{name}:1: neither a tsv or csv header, nor a JSON object, nor {FASTTEXT_PREFIX}; "
        "labelled text has one of these forms: set data.format"
    )


def _csv_rows(lines: Iterator[NumberedLine], name: str) -> Iterator[tuple[int, list[str]]]:
    last = 0  # the line that the csv module was given last; a record may take several

    def physical_lines() -> Iterator[str]:
        nonlocal last
        for number, line in lines:
            last = number
            yield line + "\n"

    header = next(lines)
    lines, last = chain([header], lines), header[0] - 1
    limit = csv.field_size_limit(LARGEST_FIELD)  # the default refuses texts of 128 k characters
    try:
        reader = csv.reader(physical_lines(), strict=True)
        while True:
            start = last + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise CorpusError(f"{name}:{start}: not valid CSV ({error}); quote fields as RFC 4180 says") from None
            if row is None:
                return
            if row:
                yield start, row
    finally:
        csv.field_size_limit(limit)


def _table_records(
    rows: Iterator[tuple[int, list[str]]], name: str, text_column: str, label_column: str
) -> Iterator[Record]:
    header_line, header = next(rows)
    header = [column.strip() for column in header]
    text_at = _column(header, text_column, f"{name}:{header_line}")
    label_at = _column(header, label_column, f"{name}:{header_line}")
    for number, fields in rows:
        if len(fields) != len(header):
            raise CorpusError(
                f"{name}:{number}: {_count(len(fields), 'field')} where the header has {len(header)} "
                f"({', '.join(header)}); is a separator or a quote missing?"
            )
        yield number, fields[text_at], fields[label_at]


def _column(header: list[str], wanted: str, where: str) -> int:
    if header.count(wanted) > 1:
        raise CorpusError(f"{where}: column {wanted!r} is there {header.count(wanted)} times; rename all but one")
    if wanted not in header:
        raise CorpusError(f"{where}: no column {wanted!r}; the columns are {_listed(header)}{_hint(wanted, header)}")
    return header.index(wanted)


def _jsonl_records(
    lines: Iterable[NumberedLine], name: str, text_column: str, label_column: str, separator: str | None
) -> Iterator[Record]:
    for number, line in lines:
        if not line.strip():
            continue
        where = f"{name}:{number}"
        item = _json_object(line)
        if item is None:
            raise CorpusError(f"{where}: not a JSON object; a jsonl file has one object a line")
        label = _key(item, label_column, where)
        if isinstance(label, list) and separator is not None:
            label = _joined(label, separator, where)
        if label is None:
            raise CorpusError(f"{where}: the label is missing")
        if isinstance(label, list | dict):
            raise CorpusError(f"{where}: the label is {_kind_of(label)}; it must be text, a number or a boolean")
        text = _json_text(item, text_column, where)
        yield number, text, label if isinstance(label, str) else json.dumps(label)


def _joined(labels: list[Any], separator: str, where: str) -> str:
    """A JSON list of labels as one text."""
    for label in labels:
        if not isinstance(label, str) or separator in label:
            raise CorpusError(f"{where}: {label!r} is not a label; labels are text without the separator {separator!r}")
    return separator.join(labels)


def _fasttext_records(lines: Iterable[NumberedLine], name: str, separator: str | None) -> Iterator[Record]:
    for number, line in lines:
        words = line.split(maxsplit=1)
        if not words:
            continue
        if not words[0].startswith(FASTTEXT_PREFIX):
            raise CorpusError(f"{name}:{number}: the label is missing; the line must start with {FASTTEXT_PREFIX}")
        labels = [words[0].removeprefix(FASTTEXT_PREFIX)]
        text = words[1] if len(words) > 1 else ""
        while text.startswith(FASTTEXT_PREFIX):
            if separator is None:
                raise CorpusError(
                    f"{name}:{number}: more than one label; keep one a line, or set model.head=multilabel and"
                    " data.label_separator"
                )
            first, *rest = text.split(maxsplit=1)
            labels.append(first.removeprefix(FASTTEXT_PREFIX))
            text = rest[0] if rest else ""
        yield number, text, labels[0] if separator is None else separator.join(labels)


def _refuse_constant(text: str) -> None:
    raise ValueError(text)  # NaN and Infinity are not JSON


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        item = _DECODER.decode(line)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) else None


def _key(item: dict[str, Any], wanted: str, where: str) -> Any:
    if wanted not in item:
        keys = list(item)
        raise CorpusError(f"{where}: no key {wanted!r}; the keys are {_listed(keys)}{_hint(wanted, keys)}")
    return item[wanted]


def _json_text(item: dict[str, Any], wanted: str, where: str) -> str:
    text = _key(item, wanted, where)
    if not isinstance(text, str):
        raise CorpusError(f"{where}: {wanted!r} is {_kind_of(text)}; it must be text in quotes")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CorpusError(f"{where}: {wanted!r} has half of a surrogate pair; it is not valid Unicode text") from None
    return text


def _kind_of(value: object) -> str:
    names = {list: "a list", dict: "an object", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:20]) + (", ..." if len(names) > 20 else "") if names else "none"


def _hint(wanted: str, names: list[str]) -> str:
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(wanted.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def read_texts(path: Path, text_column: str = "text") -> Iterator[TextLine]:
    """Texts to predict, one a line, as they arrive (an open pipe is read line by line).

    When the first line that is not blank is a JSON object, every line must be one and its key `text_column` is the
    text. A blank line is an empty text: n lines give n items. Raises UsageError (at once) for a missing file, and
    CorpusError with path and line while reading.
    """
    return _text_lines(open_bytes(path), display_name(path), text_column)


def _text_lines(stream: BinaryIO, name: str, text_column: str) -> Iterator[TextLine]:
    as_json: bool | None = None
    with stream:
        for number, raw in enumerate(stream, start=1):
            line = raw.removeprefix(BOM) if number == 1 else raw
            check_text(line, name, number)
            text = line.removesuffix(b"\n").removesuffix(b"\r").decode()
            if not text.strip():
                yield TextLine(number, "" if as_json else text)
                continue
            if as_json is None:
                as_json = _json_object(text) is not None
            if as_json:
                item = _json_object(text)
                if item is None:
                    raise CorpusError(f"{name}:{number}: not a JSON object, but the lines before it are")
                text = _json_text(item, text_column, f"{name}:{number}")
            yield TextLine(number, text)
