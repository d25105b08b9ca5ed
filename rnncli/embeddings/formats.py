"""Word-vector files of other programs: word2vec text and binary, GloVe text, fastText .vec; known by their content.

Forms: word2vec.c (Mikolov et al. 2013) writes `V d`, then rows; binary rows are the word, a space, d little-endian
float32 and a newline, which gensim leaves out. GloVe (Pennington et al. 2014) has rows alone. fastText's .vec is
word2vec text. docs/vector-formats.md is the page for users.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnncli.data.streams import display_name, open_bytes
from rnncli.embeddings.damage import DamageLog
from rnncli.embeddings.format_readers import BOM, Rows, Vectors, read_binary_rows, read_text_rows, to_numbers
from rnncli.errors import ArtifactError, CorpusError
from rnncli.results import DamageReport

Format = Literal["word2vec-text", "word2vec-bin", "glove", "fasttext-vec"]
HEAD_BYTES = 1 << 20
SAMPLE_LINES = 100
NUMBERS_AT_ONCE = 1 << 20
LARGEST_DIM = 1 << 20
HEADER = re.compile(rb"[ \t]*(\d{1,15})[ \t]+(\d{1,7})[ \t]*\r?\n")
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")  # bytes that text does not hold and float32 numbers do


@dataclass(frozen=True)
class Detected:
    """What a file seems to be by its first bytes. Without a header `declared` is None."""

    format: Format
    dim: int
    declared: int | None  # V of the header
    header_fits: bool  # whether d of the header is `dim`
    body: int  # where the rows begin


def read_vectors(path: Path, strict: bool = False) -> tuple[list[str], Vectors, DamageReport]:
    """The words (distinct) and vectors (V, d) of any word-vector file, and what was wrong with it.

    `-` is standard input; gz, bz2, xz and zst are decompressed. Raises UsageError when the file cannot be opened,
    ArtifactError when there is nothing usable in it, and at the first damage when `strict`.
    """
    words, vectors_VE, report, _ = read_vectors_and_format(path, strict)
    return words, vectors_VE, report


def read_vectors_and_format(path: Path, strict: bool = False) -> tuple[list[str], Vectors, DamageReport, Format]:
    """As `read_vectors`, with the format that was found (fastText's .vec is word2vec-text)."""
    name = display_name(path)
    try:
        with open_bytes(path) as stream:
            return _read(stream, name, strict)
    except CorpusError as error:  # damaged compression
        raise ArtifactError(str(error)) from None


def _read(stream: BinaryIO, name: str, strict: bool) -> tuple[list[str], Vectors, DamageReport, Format]:
    head = stream.read(HEAD_BYTES)
    found = detect(head)
    if found is None:
        what = "is not a file of word vectors: no line is a word followed by numbers" if head else "is empty"
        raise ArtifactError(f"{name}: {what}; give word2vec text or binary, GloVe or fastText .vec, or a run folder")
    log = DamageLog(name, strict, "row" if found.format == "word2vec-bin" else "line")
    rows = Rows(found.dim, log)
    body = head[found.body :]
    if found.format == "word2vec-bin":
        read_binary_rows(body, stream, rows, found.declared or 0)
    else:
        if not found.header_fits:
            log.add("header_mismatch", 1)
            log.check()
        seen = read_text_rows(body, stream, rows, 1 if found.declared is None else 2)
        if found.declared is not None and seen != found.declared:
            log.add("header_mismatch", 1, abs(seen - found.declared))
            log.check()
    words, vectors_VE = rows.finish()
    if not words:
        raise ArtifactError(f"{name}: holds no usable vector: every row is damaged; get the file again")
    return words, vectors_VE, log.report(), found.format


def detect(head: bytes) -> Detected | None:
    """What the first bytes of a file look like; None when like no word vectors at all."""
    start = len(BOM) if head.startswith(BOM) else 0
    header = HEADER.match(head, start)
    if header is not None:
        declared, dim, body = int(header[1]), int(header[2]), header.end()
        lengths, lines = _vector_lengths(head[body:])
        binary = CONTROL.search(head, body) is not None and 2 * lengths.total() < lines
        if lengths[dim] and not binary:
            return Detected("word2vec-text", dim, declared, True, body)
        if 0 < dim <= LARGEST_DIM and (binary or not lengths):
            return Detected("word2vec-bin", dim, declared, True, body) if len(head) > body else None
        if lengths and _most(lengths) != 1:  # else `7 1` is no header but a row of one number
            return Detected("word2vec-text", _most(lengths), declared, False, body)
    lengths, _ = _vector_lengths(head[start:])
    return Detected("glove", _most(lengths), None, True, start) if lengths else None


def _most(lengths: "Counter[int]") -> int:
    return max(lengths, key=lambda n: (lengths[n], n))


def _vector_lengths(text: bytes) -> "tuple[Counter[int], int]":
    """How many numbers the first lines end in (a line's first field is never one), how often, and how many lines."""
    if len(text) > HEAD_BYTES >> 1:  # then its last line is likely cut
        text = text.rpartition(b"\n")[0] or text
    lines = text.split(b"\n", SAMPLE_LINES)[:SAMPLE_LINES]
    found = (_trailing_numbers(line.split()[1:]) for line in lines)
    return Counter(n for n in found if n), len(lines)


def _trailing_numbers(fields: list[bytes]) -> int:
    if to_numbers(fields) is not None:
        return len(fields)
    return sum(1 for _ in takewhile(lambda field: to_numbers([field]) is not None, reversed(fields)))


def write_vectors(file: BinaryIO, words: Sequence[str], vectors_VE: NDArray[Any], format: Format) -> None:
    """Write words and vectors (V, d) to an open binary file; `read_vectors` gives back the same float32 bits.

    Raises ArtifactError, before anything is written, for a word the format cannot hold.
    """
    check_words(words, format)
    rows, dim = vectors_VE.shape
    if format != "glove":
        file.write(b"%d %d\n" % (rows, dim))
    step = max(1, NUMBERS_AT_ONCE // max(dim, 1))
    for first in range(0, rows, step):
        part, block_NE = words[first : first + step], np.ascontiguousarray(vectors_VE[first : first + step], "<f4")
        if format == "word2vec-bin":
            data = block_NE.tobytes()
            size = 4 * dim
            file.write(b"".join(b"%s %s\n" % (w.encode(), data[i * size : (i + 1) * size]) for i, w in enumerate(part)))
        else:
            file.write(_text_rows(part, block_NE, point=format == "glove" and first == 0))


def _text_rows(words: Sequence[str], block_NE: Vectors, point: bool) -> bytes:
    """Rows as text; Arrow writes the fewest digits that give the same float32 again.

    With `point` the very first number shows one even when it is whole, lest `7 1` be taken for a header.
    """
    numbers = pa.array(block_NE.ravel()).cast(pa.string())
    if point and numbers[0].as_py().lstrip("-").isdigit():
        numbers = pa.concat_arrays([pa.array([numbers[0].as_py() + ".0"]), numbers[1:]])
    offsets = np.arange(len(words) + 1, dtype=np.int32) * block_NE.shape[1]
    rows = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), numbers), " ")
    lines = pc.binary_join_element_wise(pa.array(words, pa.string()), rows, " ").to_pylist()
    return "".join(f"{line}\n" for line in lines).encode()


def check_words(words: Sequence[str], format: Format) -> None:
    """Raise ArtifactError with word and row (from 1) for the first word that cannot stand in a file of this format."""
    advice = "write it with --to rnncli, or rename the word"
    try:
        column = pa.array(words, pa.string())
    except UnicodeEncodeError:
        row = next(i for i, word in enumerate(words) if not _encodes(word))
        raise ArtifactError(f"row {row + 1}: the word {words[row]!r} has no UTF-8 form; {advice}") from None
    bad = pc.match_substring_regex(column, "[ \\t\\n\\r\\x0b\\x0c]|^$").to_numpy(zero_copy_only=False)
    if bad.any():
        row = int(bad.argmax())
        what = "contains white space" if words[row] else "is empty"
        raise ArtifactError(f"row {row + 1}: the word {words[row]!r} {what}, which {format} cannot hold; {advice}")
    if format == "glove" and words and words[0].startswith("\ufeff"):
        raise ArtifactError(f"row 1: the word {words[0]!r} begins like a byte order mark; {advice}")


def _encodes(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
