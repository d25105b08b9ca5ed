"""Which rows go into which batch: rows of like length together, in an order that only (seed, epoch) decides."""

import numpy as np
from numpy.typing import NDArray

from rnncli import rng

POOL_BATCHES = 50  # rows are sorted by length within pools of so many batches: long enough to pack, short enough to mix


def epoch_batches(
    lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int, shuffle: bool = True
) -> list[NDArray[np.int64]]:
    """Row numbers of every batch of one epoch; each row is in exactly one.

    `lengths` (n,) are token counts. Inside a batch lengths never rise. With `shuffle` rows are permuted, sorted
    within pools of 50 batches and the batches permuted; without it all rows are sorted, ties by row number.
    """
    n = len(lengths)
    if not shuffle:
        return _cut(_by_length(lengths, np.arange(n, dtype=np.int64)), batch_size)
    rows = rng.permutation(rng.key(seed, rng.Stream.ORDER, epoch), n)
    pool = POOL_BATCHES * batch_size
    batches: list[NDArray[np.int64]] = []
    for start in range(0, n, pool):
        batches += _cut(_by_length(lengths, rows[start : start + pool]), batch_size)
    order = rng.permutation(rng.key(seed, rng.Stream.ORDER, epoch, part=1), len(batches))
    return [batches[i] for i in order]


def _by_length(lengths: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[np.argsort(-lengths[rows].astype(np.int64), kind="stable")]


def _cut(rows: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
