"""Corpus -> co-occurrence matrix on disk, cut into tiles, in memory that does not grow with the corpus.

A piece of the corpus that fits in memory is counted row by row. One piece: its rows go straight into tiles. Several:
each becomes a run on disk, and rows are summed over the runs. Counts are whole numbers, so both give the same bytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.embeddings.cooccurrence import Cooccurrences, TileWriter
from rnncli.events import Note, OnEvent, PhaseStarted, Progressed
from rnncli.kernels._jit import set_threads
from rnncli.kernels.cooccurrence import BREAK, FIXED, count_rows, index_words, merge_rows, pack_rows

BYTES_PER_TOKEN = 12  # buffer and index, and the temporary ones while they are made
LEAST_TOKENS = 1 << 16  # of a piece, whatever the limit
CELLS_OF_BATCH = 1 << 21  # rows are counted in batches that can fill so many cells at most, or one row

Ids = NDArray[np.int32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Counting:
    """What is counted."""

    window: int
    symmetric: bool  # words to the right count as well
    by_distance: bool  # a pair d words apart counts 1 / d
    memory_limit: int  # bytes that a piece of the corpus may take
    threads: int = 0


@dataclass(frozen=True)
class RowBatch:
    """Rows first .. first + len(sizes) - 1 of the matrix, cells back to back, columns ascending in each row."""

    first: int
    columns: NDArray[np.int32]  # (n,)
    counts: Ints  # (n,) in units of 2^-30
    sizes: Ints  # (R,)


def count_cooccurrences(
    ids: Ids, offsets: Ints, words: int, what: Counting, seed: int, folder: Path, on_event: OnEvent
) -> Cooccurrences:
    """Count how often words (rows) have others (columns) near them, in lines ids[offsets[i] : offsets[i + 1]].

    `words` is the number of words, V. Tiles and spilled runs are written into `folder`. The result depends on
    neither `memory_limit` nor `threads`; `seed` shuffles the cells of each tile. OSError when the disk fails.
    """
    pieces = list(_pieces(offsets, max(what.memory_limit // BYTES_PER_TOKEN, LEAST_TOKENS)))
    worker = _Worker(words, what)
    writer = TileWriter(folder, words, rng.key(seed, rng.Stream.ORDER))
    on_event(PhaseStarted("counting co-occurrences", words * (len(pieces) + (len(pieces) > 1)), "words"))

    def copied() -> None:
        on_event(Progressed(done))

    done = 0
    if len(pieces) <= 1:
        batches = _count_piece(worker, ids, offsets, copied)
    else:
        on_event(Note(f"counting in {len(pieces)} pieces that fit into memory_limit; the rest waits on disk"))
        runs = []
        for number, (start, end) in enumerate(pieces):
            run = _Run(folder / f"run-{number}", words)
            lines = offsets[start : end + 1]
            done = number * words
            for batch in _count_piece(worker, ids, lines, copied):
                run.append(batch)
                on_event(Progressed(done + batch.first))
            runs.append(run)
        batches = _merge_runs(worker, runs)
        done = len(pieces) * words
    for batch in batches:
        writer.add(batch.columns, batch.counts, batch.sizes)
        on_event(Progressed(done + batch.first + len(batch.sizes)))
    return writer.finish()


def _pieces(offsets: Ints, tokens: int) -> Iterator[tuple[int, int]]:
    """Lines start .. end - 1 of each piece of up to `tokens` tokens; a longer line is a piece of its own."""
    start, lines = 0, len(offsets) - 1
    while start < lines:
        end = int(np.searchsorted(offsets, offsets[start] + tokens, side="right")) - 1
        end = min(max(end, start + 1), lines)
        yield start, end
        start = end


class _Worker:
    """Work space of the kernels, and the weight of each distance."""

    def __init__(self, words: int, what: Counting) -> None:
        groups = set_threads(what.threads)
        self.words, self.window, self.symmetric = words, what.window, what.symmetric
        distances = np.maximum(np.arange(what.window + 1), 1)
        self.weights = np.rint(2.0**FIXED / (distances if what.by_distance else np.ones_like(distances))).astype(
            np.int64
        )
        self.sums_GV = np.zeros((groups, words), np.int64)
        self.touched_GV = np.zeros((groups, words), np.int32)
        self.marks_G = np.zeros((groups, -(-words // 64)), np.uint64)

    def batches(self, bounds: Ints) -> Iterator[tuple[int, int, Ints, NDArray[np.int32], Ints]]:
        """(first row, one after the last, places, room for columns, room for counts); bounds (V,): cells of each row."""
        ends = np.append(0, np.cumsum(bounds))
        first = 0
        while first < self.words:
            last = int(np.searchsorted(ends, ends[first] + CELLS_OF_BATCH, side="right")) - 1
            last = min(max(last, first + 1), self.words)
            places = ends[first : last + 1] - ends[first]
            yield first, last, places, np.empty(places[-1], np.int32), np.empty(places[-1], np.int64)
            first = last

    def groups(self, work: Ints) -> Ints:
        """Bounds of contiguous groups of rows with about equal work; work (R,)."""
        ends = np.cumsum(work)
        shares = ends[-1] * np.arange(1, len(self.marks_G)) / len(self.marks_G)
        return np.concatenate([[0], np.searchsorted(ends, shares), [len(work)]]).astype(np.int64)

    @property
    def space(self) -> tuple[Ints, NDArray[np.int32], NDArray[np.uint64]]:
        return self.sums_GV, self.touched_GV, self.marks_G


def _count_piece(worker: _Worker, ids: Ids, offsets: Ints, copied: Callable[[], None]) -> Iterator[RowBatch]:
    """Rows of the lines of one piece; `copied` is called when `ids` and `offsets` are not needed any more."""
    tokens, lines = int(offsets[-1] - offsets[0]), len(offsets) - 1
    buffer = np.empty(tokens + lines, np.int32)
    breaks = offsets[1:] - offsets[0] + np.arange(lines)
    inside = np.ones(len(buffer), np.bool_)
    inside[breaks] = False
    buffer[inside] = ids[offsets[0] : offsets[-1]]
    buffer[breaks] = BREAK
    del inside, breaks
    copied()
    starts, positions = np.empty(worker.words + 2, np.int64), np.empty(tokens, np.int32)
    index_words(buffer, starts, positions)
    seen = np.diff(starts[:-1])
    bounds = np.minimum(seen * worker.window * (2 if worker.symmetric else 1), worker.words)
    for first, last, places, columns, cells in worker.batches(bounds):
        sizes = np.zeros(last - first, np.int64)
        count_rows(
            buffer, starts, positions, first, worker.groups(seen[first:last] + 1), places, worker.window,
            worker.weights, worker.symmetric, *worker.space, columns, cells, sizes,
        )  # fmt: skip
        n = pack_rows(columns, cells, places, sizes)
        yield RowBatch(first, columns[:n], cells[:n], sizes)


class _Run:
    """Rows of one piece on disk: columns and counts in a file each, and where every row begins."""

    def __init__(self, path: Path, words: int) -> None:
        self.columns, self.counts = path.with_suffix(".columns"), path.with_suffix(".counts")
        self.starts = np.zeros(words + 1, np.int64)

    def append(self, batch: RowBatch) -> None:
        for path, array in ((self.columns, batch.columns), (self.counts, batch.counts)):
            with path.open("ab") as file:
                array.tofile(file)
        first, last = batch.first, batch.first + len(batch.sizes)
        self.starts[first + 1 : last + 1] = self.starts[first] + np.cumsum(batch.sizes)

    def read(self, first: int, last: int) -> tuple[NDArray[np.int32], Ints]:
        """Columns and counts of the rows first .. last - 1."""
        start, n = int(self.starts[first]), int(self.starts[last] - self.starts[first])
        return (
            np.fromfile(self.columns, np.int32, n, offset=4 * start),
            np.fromfile(self.counts, np.int64, n, offset=8 * start),
        )

    def remove(self) -> None:
        for path in (self.columns, self.counts):
            path.unlink(missing_ok=True)


def _merge_runs(worker: _Worker, runs: list[_Run]) -> Iterator[RowBatch]:
    """Rows summed over runs; the runs are removed."""
    cells = np.sum([np.diff(run.starts) for run in runs], axis=0)
    for first, last, places, columns, counts in worker.batches(cells):  # room for what is read bounds memory too
        parts = [run.read(first, last) for run in runs]
        starts = np.stack([run.starts[first : last + 1] - run.starts[first] for run in runs])
        starts += np.append(0, np.cumsum([len(part[0]) for part in parts])[:-1])[:, None]
        sizes = np.zeros(last - first, np.int64)
        merge_rows(
            np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]), starts,
            worker.groups(cells[first:last] + 1), places, *worker.space, columns, counts, sizes,
        )  # fmt: skip
        n = pack_rows(columns, counts, places, sizes)
        yield RowBatch(first, columns[:n], counts[:n], sizes)
    for run in runs:
        run.remove()
