"""Bytes in: standard input or a file, decompressed by content, cut into blocks of whole, checked lines."""

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from rnncli.errors import CorpusError, UsageError

STDIN = Path("-")
BLOCK_BYTES = 4 << 20
LONGEST_LINE = 64 << 20  # longer lines (whole corpora without a line end exist) are cut at a space
BOM = b"\xef\xbb\xbf"
MAGIC = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\x00", "zst": b"\x28\xb5\x2f\xfd"}

Tap = Callable[[bytes], None]


@dataclass(frozen=True)
class LineBlock:
    """Whole lines of UTF-8 text, line ends all `\\n` (the last may lack it); `first_line` counts from 1."""

    text: bytes
    first_line: int


def open_bytes(path: Path, tap: Tap | None = None) -> BinaryIO:
    """Open a file, or standard input for `-`, and decompress gz, bz2, xz and zst as their first bytes say.

    Reads return what has arrived, so lines of an open pipe can be had one by one with `readline`. `tap` hears the
    bytes as they are stored, before decompression. Raises UsageError for a file that cannot be opened; reading
    raises CorpusError where compressed data is damaged or ends early.
    """
    source = _Source(path, tap)
    kind = next((name for name, magic in MAGIC.items() if source.head.startswith(magic)), None)
    if kind is None:
        return io.BufferedReader(source, 1 << 18)
    return io.BufferedReader(_Decompressed(source, kind, path), 1 << 18)


def display_name(path: Path) -> str:
    """What messages call the file."""
    return "standard input" if path == STDIN else str(path)


def read_line_blocks(
    path: Path, block_bytes: int = BLOCK_BYTES, tap: Tap | None = None, on_cut: Callable[[int], None] | None = None
) -> Iterator[LineBlock]:
    """The text of a file in blocks of whole lines, each about `block_bytes` or one line, whichever is longer.

    A byte order mark at the start is dropped and `\\r\\n` becomes `\\n`. A line longer than 64 MiB is cut after a
    space, and `on_cut` hears its number. Raises CorpusError with path and line for a NUL byte, for text that is not
    UTF-8 and for damaged compression; UsageError (at once) for a file that cannot be opened.
    """
    return _line_blocks(open_bytes(path, tap), display_name(path), block_bytes, on_cut)


def _line_blocks(
    stream: BinaryIO, name: str, block_bytes: int, on_cut: Callable[[int], None] | None
) -> Iterator[LineBlock]:
    line, at_start = 1, True
    parts: list[bytes] = []
    held = 0
    with stream:
        while chunk := stream.read(block_bytes):
            cut = chunk.rfind(b"\n") + 1
            if not cut and held + len(chunk) > LONGEST_LINE:
                cut = max(chunk.rfind(b" "), chunk.rfind(b"\t")) + 1
                if not cut:
                    check_text(b"".join([*parts, chunk[:-3]]), name, line)  # a binary file is the likelier cause
                    raise CorpusError(f"{name}:{line}: a line of more than {LONGEST_LINE >> 20} MiB without a space")
                if on_cut is not None:
                    on_cut(line)
            if not cut:
                parts.append(chunk)
                held += len(chunk)
                continue
            text = b"".join([*parts, chunk[:cut]])
            parts, held = [chunk[cut:]], len(chunk) - cut
            yield _block(text, name, line, at_start)
            line, at_start = line + text.count(b"\n"), False
        text = b"".join(parts).removesuffix(b"\r")
        if text:
            yield _block(text, name, line, at_start)


def _block(text: bytes, name: str, line: int, at_start: bool) -> LineBlock:
    if at_start:
        text = text.removeprefix(BOM)
    check_text(text, name, line)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    return LineBlock(text, line)


def check_text(text: bytes, name: str, first_line: int) -> None:
    """Raise CorpusError with the line number unless `text` is UTF-8 without NUL bytes."""
    nul = text.find(b"\0")
    if nul >= 0:
        line = first_line + text.count(b"\n", 0, nul)
        raise CorpusError(f"{name}:{line}: a NUL byte: this looks like a binary file; give UTF-8 text")
    if text.isascii() or _is_utf8(text):
        return
    try:
        text.decode()
    except UnicodeDecodeError as error:
        line = first_line + text.count(b"\n", 0, error.start)
        raise CorpusError(
            f"{name}:{line}: byte 0x{text[error.start]:02x} is not UTF-8; convert the file (iconv -t UTF-8)"
        ) from None


def _is_utf8(text: bytes) -> bool:
    # Arrow validates many times faster than bytes.decode and makes no copy.
    ends = pa.py_buffer(np.array([0, len(text)], dtype=np.int64))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(text)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


class _Source(io.RawIOBase):
    """The stored bytes of a file or of standard input, with the first few looked at beforehand."""

    def __init__(self, path: Path, tap: Tap | None) -> None:
        self.raw, self.owned = _open_raw(path)
        self.tap = tap
        # read1 gives what a pipe holds now; an unbuffered file's read is one system call anyway.
        self.read_some: Callable[[int], bytes | None] = getattr(self.raw, "read1", None) or self.raw.read
        self.head = b""
        try:
            while not self.head or any(m.startswith(self.head) and m != self.head for m in MAGIC.values()):
                more = self.read_some(1 << 16)
                if not more:
                    break
                self.head += more
        except OSError as error:
            self.close()
            raise UsageError(f"{display_name(path)}: cannot be read: {error.strerror or error}") from None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        if self.head:
            data, self.head = self.head[:size], self.head[size:]
        else:
            data = self.read_some(size) or b""
        if self.tap is not None and data:
            self.tap(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed and self.owned:
            self.raw.close()
        super().close()


def _open_raw(path: Path) -> tuple[Any, bool]:
    if path == STDIN:
        if sys.stdin is None or sys.stdin.closed:
            raise UsageError("standard input is closed; name a file instead of -")
        return sys.stdin.buffer, False
    if path.is_dir():
        raise UsageError(f"{path}: is a directory; name a file")
    try:
        return path.open("rb", buffering=0), True
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


class _Decompressed(io.RawIOBase):
    """The bytes inside a compressed source; damage becomes CorpusError."""

    def __init__(self, source: _Source, kind: str, path: Path) -> None:
        self.source, self.kind, self.name = source, kind, display_name(path)
        self.read_some: Callable[[int], bytes]
        if kind == "zst":
            self.inner: Any = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
            self.read_some = self.inner.read
        else:
            opener: Any = {"gz": gzip.GzipFile, "bz2": bz2.BZ2File, "xz": lzma.LZMAFile}[kind]
            self.inner = opener(fileobj=source, mode="rb") if kind == "gz" else opener(source, "rb")
            self.read_some = self.inner.read1

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.read_some(len(buffer))
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise CorpusError(f"{self.name}: the {self.kind} data is damaged or ends early ({error})") from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.inner.close()
            self.source.close()
        super().close()
