"""The table of poolings: the states of a row -> the one vector that the head reads."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.kernels import pooling
from rnncli.rnn.packing import PackedBatch

Array = NDArray[Any]
WAYS = {"last": None, "mean": pooling.MEAN, "max": pooling.MAX, "attention": pooling.ATTENTION}


@dataclass(frozen=True)
class Pooled:
    """What pooling leaves behind."""

    pooled_BO: Array
    chosen_BO: NDArray[np.int32]  # max: the step that each unit was taken from
    weight_N: Array  # attention: the share of each token


@dataclass(frozen=True)
class Pooling:
    """One way to pool states of `h_size` units in each direction."""

    name: str
    h_size: int

    @property
    def learned(self) -> bool:
        """Whether it has a query of its own."""
        return self.name == "attention"

    def forward(self, h_NO: Array, query_O: Array, batch: PackedBatch) -> Pooled:
        """One vector a row."""
        pooled_BO = np.empty((batch.rows_B.size, h_NO.shape[1]), h_NO.dtype)
        way = WAYS[self.name]
        if way is None:
            pooling.take_last(pooled_BO, h_NO, batch.first_B, batch.last_B, self.h_size)
            return Pooled(pooled_BO, np.empty((0, 0), np.int32), np.empty(0, h_NO.dtype))
        chosen_BO = np.empty(pooled_BO.shape, np.int32)
        weight_N = np.empty(len(h_NO) if self.learned else 0, h_NO.dtype)
        pooling.pool(
            pooled_BO, chosen_BO, weight_N, h_NO, query_O, batch.lengths_B, batch.rows_S, batch.tokens_S, way
        )  # fmt: skip
        return Pooled(pooled_BO, chosen_BO, weight_N)

    def backward(
        self, dquery_SO: Array, dpooled_BO: Array, out: Pooled, h_NO: Array, query_O: Array, batch: PackedBatch
    ) -> Array:
        """dL/dh (N, O); the gradient of the query is added into dquery_SO, a row for each shard."""
        dh_NO = np.empty_like(h_NO)
        way = WAYS[self.name]
        if way is None:
            pooling.put_last(dh_NO, dpooled_BO, batch.first_B, batch.last_B, self.h_size)
        else:
            pooling.pool_backward(
                dh_NO, dquery_SO, dpooled_BO, out.chosen_BO, out.weight_N, h_NO, query_O, batch.lengths_B,
                batch.rows_S, batch.tokens_S, way,
            )  # fmt: skip
        return dh_NO
