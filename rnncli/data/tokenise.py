"""Text to tokens, many lines at a time, without a Python loop over characters.

Every byte gets a kind (space, word, other, tail); a token starts where the kind changes, and the tokens are the
bytes that are not space, back to back, with the places where each begins. Texts and blocks of lines go through
the same function, so training and prediction cannot disagree.
"""

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnncli.config.text import TokenizerName
from rnncli.errors import ArtifactError

Bytes = NDArray[np.uint8]

# Raise a tokenizer's number whenever its output changes: model files and caches carry it.
VERSIONS: dict[TokenizerName, str] = {
    "whitespace": "whitespace-1",
    "words": "words-1",
    "chars": "chars-1",
    "bytes": "bytes-1",
}
NEWLINE = 10
SPACE, WORD, OTHER, TAIL, APOSTROPHE, MULTIBYTE, UNSET = (np.uint8(k) for k in range(7))


@dataclass(frozen=True)
class Tokenised:
    """Tokens of n items back to back (Arrow strings); those of item i are at offsets[i]:offsets[i+1]."""

    tokens: Any  # pa.StringArray
    offsets: NDArray[np.int64]  # (n + 1,)


@dataclass(frozen=True)
class Tokenizer:
    """How text is cut.

    whitespace  runs of anything but Unicode white space, as str.split
    words       runs of letters, digits, marks and _, an apostrophe between two of them included; any other character
                that is not white space is a token by itself
    chars       every code point but the newline
    bytes       every byte of the UTF-8 form, written as two hexadecimal digits

    Case is folded first, by Arrow's utf8_lower (one code point to one code point, blind to context).
    """

    name: TokenizerName
    lowercase: bool = True

    @property
    def version(self) -> str:
        """Names the exact behaviour; stored in model files."""
        return VERSIONS[self.name]

    def to_json(self) -> dict[str, Any]:
        """The tokenizer as a JSON object."""
        return {"name": self.name, "lowercase": self.lowercase, "version": self.version}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Tokenizer":
        """The tokenizer of a model file; ArtifactError when this release does not have it."""
        name, version = stored.get("name"), stored.get("version")
        if name not in VERSIONS or version != VERSIONS[name] or not isinstance(stored.get("lowercase"), bool):
            raise ArtifactError(f"tokenizer {name!r} ({version!r}) is unknown to this release of rnncli; update rnncli")
        return cls(name, stored["lowercase"])

    def split(self, texts: Any) -> Tokenised:
        """Cut each text of a sequence of str (or an Arrow string array) into tokens."""
        lines = _terminated(texts)
        if self.lowercase:
            lines = pc.utf8_lower(lines)
        if not len(lines):
            return Tokenised(pa.array([], type=pa.string()), np.zeros(1, dtype=np.int64))
        _, offset_buffer, data_buffer = lines.buffers()
        ends = np.frombuffer(offset_buffer, dtype=np.int64)[lines.offset : lines.offset + len(lines) + 1]
        data = np.frombuffer(data_buffer, dtype=np.uint8)[ends[0] : ends[-1]]
        return self._cut(data, ends[1:] - ends[0] - 1)

    def split_block(self, block: bytes) -> Tokenised:
        """Cut a block of lines of valid UTF-8 into tokens, one item a line."""
        if block and not block.endswith(b"\n"):
            block += b"\n"
        buffer: Any = block
        if self.lowercase and block:
            whole = pa.py_buffer(np.array([0, len(block)], dtype=np.int64))
            buffer = pc.utf8_lower(pa.Array.from_buffers(pa.large_string(), 1, [None, whole, pa.py_buffer(block)]))
            _, offset_buffer, data_buffer = buffer.buffers()
            buffer = data_buffer[: int(np.frombuffer(offset_buffer, dtype=np.int64)[1])]
        data = np.frombuffer(buffer, dtype=np.uint8)
        return self._cut(data, np.flatnonzero(data == NEWLINE))

    def _cut(self, data: Bytes, stops: NDArray[np.int64]) -> Tokenised:
        """Tokens of items that lie in `data` (N,) one after the other, each closed by a newline at `stops` (n,)."""
        if not len(data):
            return Tokenised(pa.array([], type=pa.string()), np.zeros(1, dtype=np.int64))
        cut = {"whitespace": _cut_runs, "words": _cut_runs, "chars": _cut_chars, "bytes": _cut_bytes}[self.name]
        starts, lengths, text = cut(data, stops, self.name == "words")
        ends = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=ends[1:])
        offsets = np.zeros(len(stops) + 1, dtype=np.int64)
        offsets[1:] = np.searchsorted(starts, stops)
        return Tokenised(_string_array(text, ends), offsets)


def _terminated(texts: Any) -> Any:
    """The texts as one large_string array, each followed by a newline (which keeps tokens of neighbours apart)."""
    if isinstance(texts, pa.Array | pa.ChunkedArray):
        flat = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
        filled = pc.fill_null(flat.cast(pa.large_string()), "")
        return pc.binary_join_element_wise(filled, pa.scalar("", pa.large_string()), pa.scalar("\n", pa.large_string()))
    encoded = [text.encode(errors="replace") + b"\n" for text in texts]
    ends = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    data = pa.py_buffer(b"".join(encoded))
    return pa.Array.from_buffers(pa.large_string(), len(encoded), [None, pa.py_buffer(ends), data])


def _string_array(text: Bytes, ends: NDArray[np.int64]) -> Any:
    if ends[-1] < 2**31:
        buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(text)]
        return pa.Array.from_buffers(pa.string(), len(ends) - 1, buffers)
    return pa.Array.from_buffers(pa.large_string(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(text)])


Cut = tuple[NDArray[np.int64], NDArray[np.int64], Bytes]  # token starts in data, token lengths, the tokens' bytes


def _cut_runs(data: Bytes, stops: NDArray[np.int64], words: bool) -> Cut:
    kinds = _KINDS[words].of(data)
    begins = np.empty(len(data), dtype=np.bool_)
    begins[0] = True
    np.not_equal(kinds[1:], kinds[:-1], out=begins[1:])
    if words:
        begins &= kinds != TAIL
        begins |= kinds == OTHER
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=len(data))
    if words:
        token = kinds[starts] != SPACE
        return starts[token], lengths[token], data[kinds != SPACE]
    first = int(kinds[0] == SPACE)  # space and token alternate, and a slice is cheaper than a mask
    return starts[first::2], lengths[first::2], data[kinds != SPACE]


def _cut_chars(data: Bytes, stops: NDArray[np.int64], words: bool) -> Cut:
    text = data[data != NEWLINE]
    starts = np.flatnonzero(((data & 0xC0) != 0x80) & (data != NEWLINE))
    return starts, UTF8_LENGTH[data[starts]].astype(np.int64), text


def _cut_bytes(data: Bytes, stops: NDArray[np.int64], words: bool) -> Cut:
    inside = np.ones(len(data), dtype=np.bool_)
    inside[stops] = False
    starts = np.flatnonzero(inside)
    return starts, np.full(len(starts), 2, dtype=np.int64), HEX_DIGITS[data[starts]].reshape(-1)


UTF8_LENGTH = np.ones(256, dtype=np.uint8)
UTF8_LENGTH[0xC0:0xE0], UTF8_LENGTH[0xE0:0xF0], UTF8_LENGTH[0xF0:] = 2, 3, 4
HEX_DIGITS = np.frombuffer(bytes(range(256)).hex().encode(), dtype=np.uint8).reshape(256, 2)


class _Kinds:
    """The kind of every byte of a text; kinds of code points are looked up once and remembered."""

    def __init__(self, words: bool) -> None:
        self.words = words
        of_byte = np.full(256, MULTIBYTE, dtype=np.uint8)
        of_byte[:128] = [self._kind(c) for c in range(128)]
        of_byte[0x80:0xC0] = TAIL  # every one of them gets the kind of its character later
        if not words:
            # White space beyond ASCII starts with one of these four bytes; all other bytes are inside tokens.
            of_byte[128:] = WORD
            of_byte[[0xC2, 0xE1, 0xE2, 0xE3]] = MULTIBYTE
        self.of_byte = of_byte.tobytes()
        self.of_code_point = np.full(0x110000, UNSET, dtype=np.uint8)

    def _kind(self, code_point: int) -> np.uint8:
        char = chr(code_point)
        if char.isspace():
            return SPACE
        if not self.words or char == "_" or unicodedata.category(char)[0] in "LMN":
            return WORD
        return APOSTROPHE if char in "'\u2019" else OTHER

    def of(self, data: Bytes) -> Bytes:
        """Kinds of `data` (N,), UTF-8: SPACE, WORD, OTHER at the first byte of a lone character and TAIL after it."""
        # translate is three times as fast as indexing, and a bytearray leaves the result writable.
        kinds = np.frombuffer(bytearray(data).translate(self.of_byte), dtype=np.uint8)
        leads = np.flatnonzero(kinds == MULTIBYTE)
        if len(leads):
            lengths = UTF8_LENGTH[data[leads]]
            for length in (2, 3, 4):
                at = leads[lengths == length]
                if len(at):
                    self._mark(data, kinds, at, length)
        if self.words:
            _settle_apostrophes(data, kinds)
        return kinds

    def _mark(self, data: Bytes, kinds: Bytes, at: NDArray[np.int64], length: int) -> None:
        """Give the characters of `length` bytes at the positions `at` their kinds."""
        code_points = (data[at] & (0x7F >> length)).astype(np.int32)
        for i in range(1, length):
            code_points = (code_points << 6) | (data[at + i] & 0x3F)
        found = self.of_code_point[code_points]
        if (found == UNSET).any():
            for code_point in np.unique(code_points[found == UNSET]):
                self.of_code_point[code_point] = self._kind(int(code_point))
            found = self.of_code_point[code_points]
        kinds[at] = found
        rest = TAIL_OF[found]
        for i in range(1, length):
            kinds[at + i] = rest


TAIL_OF = np.array([SPACE, WORD, TAIL, TAIL, TAIL], dtype=np.uint8)
_KINDS = {words: _Kinds(words) for words in (False, True)}


def _settle_apostrophes(data: Bytes, kinds: Bytes) -> None:
    """An apostrophe (' or ’) between two word characters belongs to the word; any other is a token."""
    at = np.flatnonzero(kinds == APOSTROPHE)
    if not len(at):
        return
    after = at + UTF8_LENGTH[data[at]]
    last = len(data) - 1
    inner = (at > 0) & (after <= last) & (kinds[at - 1] == WORD) & (kinds[np.minimum(after, last)] == WORD)
    kinds[at] = np.where(inner, WORD, OTHER)
    wide = at[inner & (data[at] >= 128)]
    for i in (1, 2):
        kinds[wide + i] = WORD
