"""Lines as they arrive: what an open pipe holds now makes a batch, so that nobody waits for lines that come later."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rnncli.data.streams import BOM, check_text, display_name, open_bytes
from rnncli.errors import CorpusError

READ_BYTES = 1 << 16
LONGEST_LINE = 1 << 20

NumberedLine = tuple[int, str]  # line number from 1, text without its line end


def arriving_lines(path: Path) -> Iterator[list[NumberedLine]]:
    """The lines of a file or of standard input, in batches: a batch is what one read brought, never an empty one.

    Raises UsageError (at once) for a file that cannot be opened; CorpusError with path and line, while reading, for
    text that is not UTF-8, NUL bytes and lines of more than 1 MiB.
    """
    return _batches(open_bytes(path), display_name(path))


def _batches(stream: BinaryIO, name: str) -> Iterator[list[NumberedLine]]:
    number, rest = 1, b""
    with stream:
        while chunk := stream.read1(READ_BYTES):  # type: ignore[attr-defined]
            whole, end, rest = (rest + chunk).rpartition(b"\n")
            if len(rest) > LONGEST_LINE:
                raise CorpusError(f"{name}:{number}: a line of more than 1 MiB; give one question a line")
            if end:
                lines = _decoded(whole, name, number)
                number += len(lines)
                yield lines
        if rest:
            yield _decoded(rest, name, number)


def _decoded(text: bytes, name: str, first: int) -> list[NumberedLine]:
    if first == 1:
        text = text.removeprefix(BOM)
    check_text(text, name, first)
    return [(first + i, line.removesuffix("\r")) for i, line in enumerate(text.decode().split("\n"))]
