"""A co-occurrence matrix on disk, cut into tiles of rows and columns: 8 bytes a cell, read tile by tile.

Blocks of columns are equally wide; a block of rows ends where it has so many rows, or so many cells, that its tiles
still fit in memory together. Both depend on the counts alone, so the same corpus gives the same file.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.kernels.cooccurrence import order_tiles

ROWS_OF_BLOCK = 1 << 10  # of W and of the context vectors: with their AdaGrad sums they should stay in cache
CELLS_OF_BLOCK = 1 << 21
CELLS, VALUES = "cells.u32", "values.f32"

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cooccurrences:
    """The non-zero cells X_ij of a matrix, tile by tile in two files: where each lies in its tile, and its value."""

    folder: Path
    row_bounds: Ints  # (Pr + 1,) rows of block I: row_bounds[I] .. row_bounds[I + 1] - 1
    column_bounds: Ints  # (Pc + 1,)
    tile_starts: Ints  # (Pr, Pc + 1) the first cell of each tile, and the end of its block

    @property
    def cells(self) -> int:
        """Non-zero cells."""
        return int(self.tile_starts[-1, -1])

    def reader(self) -> "TileReader":
        """Reads the cells of chosen tiles."""
        return TileReader(self.folder)


class TileReader:
    """Reads runs of cells into arrays that are used again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells, self.values = np.zeros(0, np.uint32), np.zeros(0, np.float32)

    def read(self, spans: Ints) -> Ints:
        """Read cells spans[k, 0] .. spans[k, 1] - 1 one after the other; returns their bounds (n, 2) in the arrays."""
        sizes = spans[:, 1] - spans[:, 0]
        ends = np.cumsum(sizes)
        if len(self.cells) < ends[-1]:
            room = int(ends[-1]) * 5 // 4
            self.cells, self.values = np.zeros(room, np.uint32), np.zeros(room, np.float32)
        for name, array in ((CELLS, self.cells), (VALUES, self.values)):
            with (self.folder / name).open("rb", buffering=0) as file:
                for start, first, end in zip(spans[:, 0].tolist(), (ends - sizes).tolist(), ends.tolist(), strict=True):
                    file.seek(4 * start)
                    wanted = array[first:end].data.cast("B")
                    while wanted:
                        part = file.readinto(wanted)
                        if not part:
                            raise OSError(f"{name} is shorter than it was written")
                        wanted = wanted[part:]
        return np.stack([ends - sizes, ends], axis=1)


class TileWriter:
    """Takes the rows of a matrix in order and writes its tiles."""

    def __init__(self, folder: Path, words: int, key: np.uint64) -> None:
        self.folder, self.words, self.key = folder, words, key
        self.column_bounds = np.append(np.arange(0, words, ROWS_OF_BLOCK), words).astype(np.int64)
        self.column_tiles = (np.arange(words) // ROWS_OF_BLOCK).astype(np.int32)
        self.row_bounds, self.tile_starts = [0], list[Ints]()
        self.columns, self.counts = np.zeros(0, np.int32), np.zeros(0, np.int64)
        self.sizes = np.zeros(0, np.int64)
        self.written = 0
        for name in (CELLS, VALUES):
            (folder / name).write_bytes(b"")

    def add(self, columns: NDArray[np.int32], counts: Ints, sizes: Ints) -> None:
        """The next rows: sizes (R,) cells in each, columns (n,) ascending in a row, counts (n,) in units of 2^-30."""
        self.columns, self.counts = np.concatenate([self.columns, columns]), np.concatenate([self.counts, counts])
        self.sizes = np.concatenate([self.sizes, sizes])
        while self._write_block(final=False):
            pass

    def finish(self) -> Cooccurrences:
        """Write what is left."""
        while self._write_block(final=True):
            pass
        starts = np.array(self.tile_starts, np.int64).reshape(-1, len(self.column_bounds))
        return Cooccurrences(self.folder, np.array(self.row_bounds, np.int64), self.column_bounds, starts)

    def _write_block(self, final: bool) -> bool:
        """Write a block if its end is known; returns whether it was."""
        ends = np.cumsum(self.sizes[:ROWS_OF_BLOCK])
        rows = min(int(np.searchsorted(ends, CELLS_OF_BLOCK, side="right")), len(ends))
        known = rows < len(self.sizes) or rows == ROWS_OF_BLOCK
        if not len(self.sizes) or not (known or final):
            return False
        rows = max(rows, 1)
        n = int(ends[rows - 1])
        cells, values = np.empty(n, np.uint32), np.empty(n, np.float32)
        starts = np.zeros(len(self.column_bounds) + 1, np.int64)
        key = rng.mix64(np.asarray([self.key + np.uint64(self.row_bounds[-1])]))[0]
        order_tiles(
            self.columns[:n], self.counts[:n], np.append(0, ends[:rows]), self.column_bounds, self.column_tiles, key,
            cells, values, starts,
        )  # fmt: skip
        for name, array in ((CELLS, cells), (VALUES, values)):
            with (self.folder / name).open("ab") as file:
                array.tofile(file)
        self.tile_starts.append(starts[:-1] + self.written)
        self.written += n
        self.row_bounds.append(self.row_bounds[-1] + rows)
        self.columns, self.counts, self.sizes = self.columns[n:], self.counts[n:], self.sizes[rows:]
        return True
