"""Rows of ids -> a packed batch: real tokens only, cut into shards whose number depends on the batch alone.

Dimension key: B rows, N tokens, S shards, U distinct tokens.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rnncli.kernels import sequence

SHARD_ROWS = 16  # rows a shard holds at most: the unit of parallel work, and part of the result's bits


@dataclass(frozen=True)
class DistinctTokens:
    """The distinct token ids of a batch and where each occurs."""

    rows_U: NDArray[np.int32]  # ids, ascending
    order_N: NDArray[np.int64]  # packed tokens sorted by id, stable
    starts_U: NDArray[np.int64]  # (U + 1,) bounds in order_N


@dataclass(frozen=True)
class PackedBatch:
    """One batch in the layout of kernels/sequence.py."""

    rows_B: NDArray[np.int64]  # row numbers in the data set
    ids_N: NDArray[np.int32]
    position_N: NDArray[np.int64]  # where each token lies in the data set's flat ids
    lengths_B: NDArray[np.int64]
    last_B: NDArray[np.int64]  # packed index of each row's last token, -1 for none
    rows_S: NDArray[np.int64]  # (S + 1,) row bounds of the shards
    tokens_S: NDArray[np.int64]  # (S + 1,) token bounds of the shards

    @property
    def shards(self) -> int:
        return self.rows_S.size - 1

    @cached_property
    def first_B(self) -> NDArray[np.int64]:
        """Packed index of each row's first token, -1 for none."""
        at = np.arange(self.lengths_B.size) - np.repeat(self.rows_S[:-1], np.diff(self.rows_S))
        starts = np.repeat(self.tokens_S[:-1], np.diff(self.rows_S))
        return np.where(self.lengths_B > 0, starts + at, -1)

    @cached_property
    def identity_N(self) -> NDArray[np.int64]:
        return np.arange(self.ids_N.size)

    @cached_property
    def reverse_N(self) -> NDArray[np.int64]:
        """For each token the place of the one that mirrors it in its row; its own inverse."""
        reverse_N = np.empty(self.ids_N.size, np.int64)
        sequence.reverse_order(reverse_N, self.lengths_B, self.rows_S, self.tokens_S)
        return reverse_N

    @cached_property
    def distinct(self) -> DistinctTokens:
        order = np.argsort(self.ids_N, kind="stable").astype(np.int64)
        rows, starts = np.unique(self.ids_N[order], return_index=True)
        return DistinctTokens(rows, order, np.append(starts, self.ids_N.size).astype(np.int64))


def pack_batch(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.int64], shard_rows: int = SHARD_ROWS
) -> PackedBatch:
    """Pack the given rows; longest rows are dealt round the shards so that each has a like share of the work.

    ids (corpus,) int32 and offsets (n + 1,) int64 are the data set; row r is ids[offsets[r] : offsets[r + 1]].
    """
    lengths = offsets[rows + 1] - offsets[rows]
    by_length = np.argsort(-lengths, kind="stable")
    shards = max(1, -(-rows.size // shard_rows))
    order = np.concatenate([by_length[s::shards] for s in range(shards)])
    rows_S = np.zeros(shards + 1, np.int64)
    np.cumsum([by_length[s::shards].size for s in range(shards)], out=rows_S[1:])
    lengths_B = np.ascontiguousarray(lengths[order])
    tokens_S = np.append(0, np.cumsum(lengths_B))[rows_S].astype(np.int64)
    n = int(tokens_S[-1])
    ids_N, position_N = np.empty(n, np.int32), np.empty(n, np.int64)
    last_B = np.empty(rows.size, np.int64)
    sequence.pack(ids_N, position_N, last_B, ids, offsets[rows][order], lengths_B, rows_S, tokens_S)
    return PackedBatch(rows[order], ids_N, position_N, lengths_B, last_B, rows_S, tokens_S)
