"""Rows of ids -> a packed batch: real tokens only, cut into shards whose number depends on the batch alone.

Dimension key: B rows, N tokens, S shards, U distinct tokens.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

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


def distinct_tokens(ids_N: NDArray[np.int32]) -> DistinctTokens:
    """The distinct values of ids_N (N,) and where each occurs."""
    order = np.argsort(ids_N, kind="stable")
    ascending = ids_N[order]
    new = np.flatnonzero(ascending[1:] != ascending[:-1]) + 1
    starts = np.concatenate([np.zeros(min(1, ids_N.size), np.int64), new, [ids_N.size]])
    return DistinctTokens(ascending[starts[:-1]], order.astype(np.int64, copy=False), starts)


@dataclass(frozen=True, eq=False)
class Sequences:
    """n rows for a network to read: row i is tokens starts[i] .. starts[i] + lengths[i] of what is there of the rest."""

    starts: NDArray[np.int64]  # (n,)
    lengths: NDArray[np.int64]  # (n,)
    ids: NDArray[np.int32] | None = None  # (tokens,)
    features: NDArray[np.int32] | None = None  # (tokens, K) rows of the table of features
    values: NDArray[Any] | None = None  # (tokens, I) numbers that are read as they are

    @classmethod
    def of_texts(
        cls, ids: NDArray[np.int32], offsets: NDArray[np.int64], features: NDArray[np.int32] | None = None
    ) -> "Sequences":
        """Rows that lie one after the other; row i is ids[offsets[i] : offsets[i + 1]]."""
        return cls(offsets[:-1], np.diff(offsets), ids, features)

    @property
    def n(self) -> int:
        return self.lengths.size


@dataclass(frozen=True)
class PackedBatch:
    """One batch in the layout of kernels/sequence.py."""

    rows_B: NDArray[np.int64]  # row numbers in the data set
    ids_N: NDArray[np.int32]  # token ids, empty where numbers are read
    position_N: NDArray[np.int64]  # where each token lies in the data set
    lengths_B: NDArray[np.int64]
    last_B: NDArray[np.int64]  # packed index of each row's last token, -1 for none
    rows_S: NDArray[np.int64]  # (S + 1,) row bounds of the shards
    tokens_S: NDArray[np.int64]  # (S + 1,) token bounds of the shards
    features_NK: NDArray[np.int32] | None = None
    values_NI: NDArray[Any] | None = None

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
        return np.arange(self.position_N.size)

    @cached_property
    def reverse_N(self) -> NDArray[np.int64]:
        """For each token the place of the one that mirrors it in its row; its own inverse."""
        reverse_N = np.empty(self.position_N.size, np.int64)
        sequence.reverse_order(reverse_N, self.lengths_B, self.rows_S, self.tokens_S)
        return reverse_N

    @cached_property
    def distinct(self) -> DistinctTokens:
        return distinct_tokens(self.ids_N)

    @cached_property
    def distinct_features(self) -> DistinctTokens:
        """The same of all features of all tokens, token after token."""
        assert self.features_NK is not None
        return distinct_tokens(self.features_NK.reshape(-1))


def pack_batch(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.int64], shard_rows: int = SHARD_ROWS
) -> PackedBatch:
    """Pack rows of token ids; row r is ids[offsets[r] : offsets[r + 1]]."""
    return pack(Sequences(offsets[:-1], np.diff(offsets), ids), rows, shard_rows)


def pack(data: Sequences, rows: NDArray[np.int64], shard_rows: int = SHARD_ROWS) -> PackedBatch:
    """Pack the given rows; longest rows are dealt round the shards so that each has a like share of the work."""
    lengths = data.lengths[rows]
    by_length = np.argsort(-lengths, kind="stable")
    shards = max(1, -(-rows.size // shard_rows))
    order = np.concatenate([by_length[s::shards] for s in range(shards)])
    rows_S = np.zeros(shards + 1, np.int64)
    np.cumsum([by_length[s::shards].size for s in range(shards)], out=rows_S[1:])
    lengths_B = np.ascontiguousarray(lengths[order])
    tokens_S = np.append(0, np.cumsum(lengths_B))[rows_S].astype(np.int64)
    position_N = np.empty(int(tokens_S[-1]), np.int64)
    last_B = np.empty(rows.size, np.int64)
    sequence.pack(position_N, last_B, data.starts[rows][order], lengths_B, rows_S, tokens_S)
    ids_N = np.empty(0, np.int32) if data.ids is None else data.ids[position_N]
    features_NK = None if data.features is None else data.features[position_N]
    values_NI = None if data.values is None else data.values[position_N]
    return PackedBatch(
        rows[order], ids_N, position_N, lengths_B, last_B, rows_S, tokens_S, features_NK, values_NI
    )  # fmt: skip
