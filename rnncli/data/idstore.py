"""A corpus to token ids: one pass over the text, in memory that grows with the vocabulary and not with the text.

Blocks of lines are tokenised, the distinct tokens of a few blocks get provisional numbers, and these go to a
temporary file. When all counts are known the vocabulary is cut and the numbers are rewritten as final ids.
"""

import hashlib
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rnncli.data.idfiles import (
    IDS,
    OFFSETS,
    IdStore,
    default_cache,
    is_usable,
    load,
    new_folder,
    publish,
    seal,
    store_name,
)
from rnncli.data.streams import LONGEST_LINE, STDIN, display_name, open_bytes, read_line_blocks
from rnncli.data.tokenise import Tokenised, Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.errors import CorpusError, RnncliError, UsageError
from rnncli.events import Note, OnEvent, PhaseStarted, Progressed, ignore

__all__ = ["IdStore", "build_id_store", "default_cache"]

BLOCKS_PER_DICTIONARY = 8  # distinct tokens are looked up in Python: the fewer dictionaries the better
REMAP_TOKENS = 1 << 22
PROVISIONAL, LINE_ENDS = "provisional.i32", "line_ends.i64"

Item = TypeVar("Item")


def build_id_store(
    paths: Sequence[Path],
    tokenizer: Tokenizer,
    min_count: int,
    max_vocab: int | None,
    unknown: bool,
    cache: Path | None,
    on_event: OnEvent = ignore,
) -> IdStore:
    """Read text files (`-`: standard input), one item a line, into token ids.

    Tokens outside the vocabulary become 0 with `unknown` and are left out without it; lines that end up empty stay,
    as empty items. A store is kept in the folder `cache` and used again when content, tokenizer and limits are the
    same; what comes through a pipe is not kept. None keeps nothing. Raises UsageError for files that cannot be
    opened, CorpusError for text that cannot be used, RnncliError when the disk fails.
    """
    if list(paths).count(STDIN) > 1:
        raise UsageError("standard input (-) is named more than once in the list of text files")
    if not paths:
        raise UsageError("no text file is named; set corpus.paths")
    lasting = all(path != STDIN and path.is_file() for path in paths)
    usable = cache if cache is not None and is_usable(cache) else None
    if cache is not None and usable is None:
        on_event(Note(f"the cache folder {cache} cannot be written, so token ids are not kept for the next run"))
    if usable is not None and lasting:
        sha256 = _digest_of([_digest_file(path) for path in paths])
        found = load(usable / store_name(sha256, tokenizer, min_count, max_vocab, unknown))
        if found is not None:
            on_event(Note(f"token ids of an earlier run are used again ({found.tokens} tokens, from {usable})"))
            return found
    try:
        folder = new_folder(usable if usable is not None else Path(tempfile.gettempdir()))
        try:
            sha256 = _write_store(folder, paths, tokenizer, min_count, max_vocab, unknown, lasting, on_event)
            if usable is not None and lasting:
                final = usable / store_name(sha256, tokenizer, min_count, max_vocab, unknown)
                publish(folder, final)
                store = load(final)
            else:
                store = load(folder, delete_after=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise RnncliError(f"cannot write token ids: {error}; free some space or set XDG_CACHE_HOME") from error
    if store is None:
        raise RnncliError(f"the token ids just written to {folder} cannot be read back; is the disk full?")
    return store


def _write_store(
    folder: Path,
    paths: Sequence[Path],
    tokenizer: Tokenizer,
    min_count: int,
    max_vocab: int | None,
    unknown: bool,
    lasting: bool,
    on_event: OnEvent,
) -> str:
    """Fill `folder` with a sealed store and return the digest of the bytes it was made from."""
    types = _Types()
    reading = _Reading(paths, lasting, on_event)
    with (folder / PROVISIONAL).open("wb") as numbers_file, (folder / LINE_ENDS).open("wb") as ends_file:
        done = 0
        for group in _grouped(reading.blocks(tokenizer), BLOCKS_PER_DICTIONARY):
            types.add(pa.concat_arrays([cut.tokens for cut in group])).tofile(numbers_file)
            for cut in group:
                (cut.offsets[1:] + done).tofile(ends_file)
                done += int(cut.offsets[-1])
    names = ", ".join(display_name(path) for path in paths)
    if not done:
        raise CorpusError(f"{names}: the file is empty: no token in it" if len(paths) == 1 else f"{names}: all empty")
    vocab, report = Vocabulary.build((types.tokens(), types.counts_now()), min_count, max_vocab, unknown)
    if not report.kept_types:
        raise CorpusError(
            f"{names}: no token is seen min_count = {min_count} times (the most frequent one {types.counts.max()} "
            "times); lower min_count or give more text"
        )
    missing = 0 if unknown else -1
    lookup = vocab.ids.get
    remap = np.fromiter((lookup(token, missing) for token in types.number), np.int32, len(types.number))
    _rewrite(folder, remap)
    seal(folder, vocab, report, reading.sha256())
    return reading.sha256()


class _Types:
    """Distinct tokens, numbered as they come, and how often each was seen."""

    def __init__(self) -> None:
        self.number: defaultdict[str, int] = defaultdict()
        self.number.default_factory = self.number.__len__
        self.counts = np.zeros(1 << 16, dtype=np.int64)

    def add(self, tokens: pa.Array) -> NDArray[np.int32]:
        """Count tokens (n,) and return their numbers (n,)."""
        distinct = tokens.dictionary_encode()
        words = distinct.dictionary.to_pylist()
        numbers = np.fromiter(map(self.number.__getitem__, words), dtype=np.int32, count=len(words))
        local = distinct.indices.to_numpy(zero_copy_only=False)
        if len(self.number) > len(self.counts):
            self.counts = np.concatenate([self.counts, np.zeros(len(self.number), dtype=np.int64)])
        self.counts[numbers] += np.bincount(local, minlength=len(words))
        provisional: NDArray[np.int32] = numbers[local]
        return provisional

    def tokens(self) -> pa.Array:
        return pa.array(list(self.number), type=pa.large_string())

    def counts_now(self) -> NDArray[np.int64]:
        return self.counts[: len(self.number)]


class _Reading:
    """One pass over the inputs: cuts blocks, takes the digest of the raw bytes, tells how far it is."""

    def __init__(self, paths: Sequence[Path], lasting: bool, on_event: OnEvent) -> None:
        self.paths, self.lasting, self.on_event = paths, lasting, on_event
        self.bytes_read = 0
        self.digests = [hashlib.sha256() for _ in paths]

    def sha256(self) -> str:
        return _digest_of([digest.hexdigest() for digest in self.digests])

    def blocks(self, tokenizer: Tokenizer) -> Iterator[Tokenised]:
        total = sum(path.stat().st_size for path in self.paths) if self.lasting else 0
        self.on_event(PhaseStarted("reading text", total, "bytes"))
        for path, digest in zip(self.paths, self.digests, strict=True):

            def tap(data: bytes, update: Callable[[bytes], None] = digest.update) -> None:
                update(data)
                self.bytes_read += len(data)

            cut: list[int] = []
            texts = (block.text for block in read_line_blocks(path, tap=tap, on_cut=cut.append))
            # A pipe is not read ahead: an interrupt would have to wait for its next bytes.
            for text in _read_ahead(texts) if self.lasting else texts:
                yield tokenizer.split_block(text)
                self.on_event(Progressed(self.bytes_read))
            if cut:
                where = f"{display_name(path)}:{cut[0]}"
                self.on_event(
                    Note(
                        f"{where}: a line of more than {LONGEST_LINE >> 20} MiB was cut after a space, {len(cut)} times in all"
                    )
                )


def _read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next one made by another thread (decompression lets go of the interpreter lock)."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item


def _grouped(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    group: list[Item] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _rewrite(folder: Path, remap: NDArray[np.int32]) -> None:
    """Provisional numbers to final ids, without those that map to -1; line ends follow."""
    line_ends = np.memmap(folder / LINE_ENDS, dtype=np.int64, mode="r")
    drops = bool((remap < 0).any())
    start, kept, line = 0, 0, 0
    with (
        (folder / PROVISIONAL).open("rb") as numbers_file,
        (folder / IDS).open("wb") as ids_file,
        (folder / OFFSETS).open("wb") as offsets_file,
    ):
        np.zeros(1, dtype=np.int64).tofile(offsets_file)
        while len(numbers := np.fromfile(numbers_file, dtype=np.int32, count=REMAP_TOKENS)):
            ids = remap[numbers]
            next_line = int(np.searchsorted(line_ends, start + len(numbers), side="right"))
            ends = line_ends[line:next_line] - start  # lines that end in this part, 0 .. len(numbers)
            if drops:
                before = np.zeros(len(ids) + 1, dtype=np.int64)
                np.cumsum(ids >= 0, out=before[1:])
                ids, ends = ids[ids >= 0], before[ends]
            ids.tofile(ids_file)
            (ends + kept).astype(np.int64).tofile(offsets_file)
            start, kept, line = start + len(numbers), kept + len(ids), next_line
    del line_ends
    (folder / PROVISIONAL).unlink()
    (folder / LINE_ENDS).unlink()


def _digest_of(digests: list[str]) -> str:
    """One digest for several inputs; that of a single file is the file's own."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _digest_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        open_bytes(path).close()  # says what is wrong with the file
        raise
