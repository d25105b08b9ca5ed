"""GloVe training: epochs -> diagonals of tiles -> kernel, the same bytes at any thread count.

An epoch visits every tile once. A diagonal takes one tile from each block of rows and each block of columns; which
diagonals there are, and their order, is drawn anew for every epoch. The cells inside a tile keep their shuffled order.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.embeddings.cooccurrence import Cooccurrences
from rnncli.embeddings.layout import aligned_rows, padded
from rnncli.events import OnEvent, Progressed
from rnncli.kernels._jit import set_threads
from rnncli.kernels.glove import CELLS_AT_ONCE, HELD_STILL, train_diagonal

Floats = NDArray[np.float32]
NAMES = ("words", "contexts")
KINDS = ("", ".squares")  # weights with the bias last, and their AdaGrad sums


@dataclass(frozen=True)
class GloveOptions:
    """The constants of GloVe's cost and of its AdaGrad."""

    dim: int
    rate: float = 0.05
    x_max: float = 100.0
    alpha: float = 0.75
    valid_fraction: float = 0.0  # of the cells of each tile, never trained on
    seed: int = 1
    threads: int = 0


def initial_tensors(words: int, dim: int, seed: int) -> dict[str, Floats]:
    """Weights and biases uniform in (-0.5 / d, 0.5 / d), AdaGrad sums 1, as the program of Pennington et al."""
    tensors: dict[str, Floats] = {}
    for part, name in enumerate(NAMES):
        key = rng.key(seed, rng.Stream.INIT, part=part)
        values = np.empty((words, dim + 1), np.float32)
        for row in range(0, words, 4096):  # in parts: draws are made in float64
            block = values[row : row + 4096]
            block[:] = ((rng.uniforms(key, block.size, row * (dim + 1)) - 0.5) / dim).reshape(block.shape)
        tensors[name], tensors[f"{name}.squares"] = values, np.ones((words, dim + 1), np.float32)
    return tensors


class GloveRun:
    """The arrays of one training run, laid out as the kernel wants them.

    Tensors: words and contexts (V, d + 1), the bias last, and their AdaGrad sums words.squares and contexts.squares.
    """

    unit = "cells"

    def __init__(self, matrix: Cooccurrences, options: GloveOptions, tensors: dict[str, Floats]) -> None:
        self.matrix, self.options = matrix, options
        self.bins = set_threads(options.threads)
        self.reader = matrix.reader()
        self.dim = padded(options.dim + 2)
        self.words = len(tensors["words"])
        self.rows = [self._rows(tensors, side, name) for side, name in enumerate(NAMES)]
        self.scratch = np.zeros((self.bins, 2, CELLS_AT_ONCE), np.float32)

    @property
    def total(self) -> int:
        """Cells of an epoch."""
        return self.matrix.cells

    def epoch(self, epoch: int, on_event: OnEvent) -> float:
        """One pass over the cells; returns the mean of f(X) error^2 before each step, that is J / cells."""
        return self._pass(epoch, self.options.rate, False, on_event)

    def valid_loss(self) -> float | None:
        """The same mean over the cells that are held out, without a step; None when there are none."""
        if not self.options.valid_fraction:
            return None
        return self._pass(0, 0.0, True, lambda event: None)

    def tensors(self) -> dict[str, Floats]:
        """Copies of everything that training changes."""
        tensors: dict[str, Floats] = {}
        dim = self.options.dim
        for side, name in enumerate(NAMES):
            table = self.rows[side].reshape(self.words, 2, self.dim)
            for part, kind in enumerate(KINDS):
                values = np.empty((self.words, dim + 1), np.float32)
                values[:, :dim], values[:, dim] = table[:, part, :dim], table[:, part, dim + side]
                tensors[name + kind] = values
        return tensors

    def _rows(self, tensors: dict[str, Floats], side: int, name: str) -> Floats:
        """Rows of a side: words have their bias at d and a 1 at d + 1, contexts the other way; sums behind."""
        flat, dim = aligned_rows(self.words, 2 * self.dim), self.options.dim
        table = flat.reshape(self.words, 2, self.dim)
        table[:, 1] = 1.0
        for part, kind in enumerate(KINDS):
            values = tensors[name + kind]
            table[:, part, :dim], table[:, part, dim + side] = values[:, :dim], values[:, dim]
        table[:, 0, dim + 1 - side], table[:, 1, dim + 1 - side] = 1.0, HELD_STILL
        return flat

    def _pass(self, epoch: int, rate: float, valid: bool, on_event: OnEvent) -> float:
        o = self.options
        blocks_r, blocks_c = self.matrix.tile_starts.shape[0], self.matrix.tile_starts.shape[1] - 1
        side = max(blocks_r, blocks_c)
        columns = rng.permutation(rng.key(o.seed, rng.Stream.ORDER, epoch, 1), side)
        diagonals = rng.permutation(rng.key(o.seed, rng.Stream.ORDER, epoch, 2), side)
        cost, cells = 0.0, 0
        for diagonal in diagonals:
            c = columns[(np.arange(side) + diagonal) % side]
            r = np.arange(side)
            there = (r < blocks_r) & (c < blocks_c)
            r, c = r[there], c[there]
            spans = self._spans(r, c, valid)
            sizes = spans[:, 1] - spans[:, 0]
            order, bins = _share(sizes, self.bins)
            tiles = self.reader.read(spans[order])
            costs = np.zeros(len(order))
            train_diagonal(
                *self.rows, self.reader.cells, self.reader.values, tiles, bins, self.matrix.row_bounds[r[order]],
                self.matrix.column_bounds[c[order]], self.dim, np.float32(rate), np.float32(math.log(o.x_max)),
                np.float32(o.alpha), costs, self.scratch,
            )  # fmt: skip
            in_place = np.zeros(len(order))
            in_place[order] = costs  # the order of a sum must not depend on the threads
            cost += float(in_place.sum())
            cells += int(sizes.sum())
            on_event(Progressed(epoch * self.matrix.cells + cells, cost / max(cells, 1), epoch + 1))
        return cost / max(cells, 1)

    def _spans(self, r: NDArray[np.int64], c: NDArray[np.int64], valid: bool) -> NDArray[np.int64]:
        """First cell and end (n, 2) of tiles; the held-out cells are the last of each."""
        starts, ends = self.matrix.tile_starts[r, c], self.matrix.tile_starts[r, c + 1]
        cut = ends - np.floor((ends - starts) * self.options.valid_fraction).astype(np.int64)
        return np.stack([cut, ends] if valid else [starts, cut], axis=1)


def _share(sizes: NDArray[np.int64], bins: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(order (n,), bounds (bins + 1,)): tiles dealt to bins, the largest first, each to the emptiest bin."""
    hands: list[list[int]] = [[] for _ in range(bins)]
    weights = [0] * bins
    for tile in np.argsort(-sizes, kind="stable").tolist():
        emptiest = weights.index(min(weights))
        hands[emptiest].append(tile)
        weights[emptiest] += int(sizes[tile])
    bounds = np.append(0, np.cumsum([len(hand) for hand in hands]))
    return np.array([tile for hand in hands for tile in hand], np.int64), bounds.astype(np.int64)
