"""Embedding -> recurrence -> head on h_L: the forward pass, the loss and every gradient.

Dimension key: B rows, N tokens, E embedding, H hidden, C outputs, V vocabulary, U distinct tokens, P dense parameters.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rnncli import rng
from rnncli.kernels import losses, optim, sequence
from rnncli.params import ParamStore
from rnncli.rnn import init
from rnncli.rnn.cells import CELLS
from rnncli.rnn.heads import HEADS
from rnncli.rnn.packing import PackedBatch

GATHER_SHARDS = 16  # pieces a look-up or a dropout mask is cut into; the result does not depend on it


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that decides the shapes and the equations of a network."""

    cell: str
    head: str
    vocabulary: int  # V
    embedding_dim: int  # E
    hidden_size: int  # H
    classes: int
    dropout: float = 0.0

    @property
    def outputs(self) -> int:
        return HEADS[self.head].outputs(self.classes)


@dataclass(frozen=True)
class Forward:
    """What a forward pass leaves behind."""

    x_NE: NDArray[Any]
    cache: Any
    last_BH: NDArray[Any]  # h_L, after dropout
    logits_BC: NDArray[Any]


@dataclass(frozen=True)
class Gradients:
    """Loss of a batch and its gradients; the embedding's only for the tokens that occur."""

    loss_B: NDArray[np.float64]  # per row, nats
    dense_P: NDArray[Any]
    embedding_UE: NDArray[Any]
    rows_U: NDArray[np.int32]


class Network:
    """A recurrent classifier; all dense parameters in one flat vector, the embedding beside it."""

    def __init__(self, spec: NetworkSpec, dtype: DTypeLike = np.float32) -> None:
        self.spec = spec
        self.dtype = np.dtype(dtype)
        self.cell, self.head = CELLS[spec.cell], HEADS[spec.head]
        shapes = {f"rnn.{name}": s for name, s in self.cell.shapes(spec.embedding_dim, spec.hidden_size).items()}
        shapes["head.weight"] = (spec.outputs, spec.hidden_size)
        shapes["head.bias"] = (spec.outputs,)
        self.dense = ParamStore(shapes, self.dtype)
        self.embedding_VE: NDArray[Any] = np.zeros((spec.vocabulary, spec.embedding_dim), self.dtype)

    def initialise(self, how: str, seed: int) -> None:
        """First values: W_hh as `how` says, Glorot for the other weights, small normal numbers for the embedding."""
        spec = self.spec
        for name, values in self.cell.initial(how, seed, spec.embedding_dim, spec.hidden_size).items():
            self.dense[f"rnn.{name}"][:] = values
        self.dense["head.weight"][:] = init.xavier(
            rng.key(seed, rng.Stream.INIT, part=3), (spec.outputs, spec.hidden_size)
        )
        embedding = rng.normals(rng.key(seed, rng.Stream.INIT, part=4), self.embedding_VE.size)
        self.embedding_VE[:] = 0.1 * embedding.reshape(self.embedding_VE.shape)

    def astype(self, dtype: DTypeLike) -> "Network":
        """A copy in another precision."""
        copy = Network(self.spec, dtype)
        copy.dense = self.dense.astype(dtype)
        copy.embedding_VE = self.embedding_VE.astype(dtype)
        return copy

    def real(self, value: float) -> Any:
        """A scalar in the network's precision: a float64 one would make float32 kernels compute in float64."""
        return self.embedding_VE.dtype.type(value)

    def forward(self, batch: PackedBatch, dropout_key: np.uint64 | None = None) -> Forward:
        """Logits of every row; dropout only when a key names its mask."""
        spec, n = self.spec, batch.ids_N.size
        x_NE = np.empty((n, spec.embedding_dim), self.dtype)
        sequence.gather(x_NE, self.embedding_VE, batch.ids_N, GATHER_SHARDS)
        self._drop(x_NE, dropout_key, 0)
        cache = self.cell.cache(n, spec.hidden_size, self.dtype)
        self.cell.forward(
            cache, x_NE, self.dense.flat, 0, batch.lengths_B, batch.rows_S, batch.tokens_S, self.cell.relu
        )
        last_BH = np.empty((batch.rows_B.size, spec.hidden_size), self.dtype)
        sequence.take_last(last_BH, cache.h_NH, batch.last_B)
        self._drop(last_BH, dropout_key, 1)
        logits_BC = np.empty((batch.rows_B.size, spec.outputs), self.dtype)
        losses.linear(logits_BC, last_BH, np.ascontiguousarray(self.dense["head.weight"].T), self.dense["head.bias"])
        return Forward(x_NE, cache, last_BH, logits_BC)

    def loss(self, batch: PackedBatch, labels_B: NDArray[np.int32]) -> NDArray[np.float64]:
        """Loss of each row, nats, without dropout."""
        return self._loss(self.forward(batch), labels_B)[0]

    def gradients(
        self, batch: PackedBatch, labels_B: NDArray[np.int32], dropout_key: np.uint64 | None = None
    ) -> Gradients:
        """Gradients of the mean loss over the rows of a batch."""
        out = self.forward(batch, dropout_key)
        loss_B, dlogits_BC = self._loss(out, labels_B)
        dflat_SP = np.zeros((batch.shards, self.dense.flat.size), self.dtype)
        dlast_BH = self.head_backward(dflat_SP[0], dlogits_BC, out.last_BH)
        self._drop(dlast_BH, dropout_key, 1)
        dh_NH = np.empty_like(out.cache.h_NH)
        sequence.put_last(dh_NH, dlast_BH, batch.last_B)
        dx_NE = self.recurrence_backward(dflat_SP, dh_NH, batch, out)
        self._drop(dx_NE, dropout_key, 0)
        dense_P = np.empty_like(self.dense.flat)
        optim.sum_shards(dense_P, dflat_SP)
        distinct = batch.distinct
        embedding_UE = np.empty((distinct.rows_U.size, self.spec.embedding_dim), self.dtype)
        sequence.scatter_add(embedding_UE, dx_NE, distinct.order_N, distinct.starts_U)
        return Gradients(loss_B, dense_P, embedding_UE, distinct.rows_U)

    def head_backward(self, dflat_P: NDArray[Any], dlogits_BC: NDArray[Any], last_BH: NDArray[Any]) -> NDArray[Any]:
        """dL/dh_L (B, H); the head's own gradients are added into dflat_P."""
        dlast_BH = np.empty_like(last_BH)
        w, b = self.dense.slots["head.weight"], self.dense.slots["head.bias"]
        dw_CH = dflat_P[w.offset : w.offset + w.size].reshape(w.shape)
        losses.linear_backward(
            dlast_BH, dw_CH, dflat_P[b.offset : b.offset + b.size], dlogits_BC, last_BH, self.dense["head.weight"]
        )
        return dlast_BH

    def recurrence_backward(
        self, dflat_SP: NDArray[Any], dh_NH: NDArray[Any], batch: PackedBatch, out: Forward
    ) -> NDArray[Any]:
        """dL/dx (N, E) from dL/dh (N, H), which ends as dL/da; parameter gradients are added into dflat_SP."""
        dx_NE = np.empty_like(out.x_NE)
        self.cell.backward(
            dx_NE, dflat_SP, dh_NH, out.cache, out.x_NE, self.dense.flat, 0,
            batch.lengths_B, batch.rows_S, batch.tokens_S, self.cell.relu,
        )  # fmt: skip
        return dx_NE

    def _loss(self, out: Forward, labels_B: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[Any]]:
        loss_B = np.empty(labels_B.size, np.float64)
        dlogits_BC = np.empty_like(out.logits_BC)
        self.head.loss(loss_B, dlogits_BC, out.logits_BC, labels_B, self.real(1.0 / max(1, labels_B.size)))
        return loss_B, dlogits_BC

    def _drop(self, x: NDArray[Any], dropout_key: np.uint64 | None, place: int) -> None:
        if dropout_key is None or self.spec.dropout == 0.0:
            return
        rate = self.spec.dropout
        key = rng.key(int(dropout_key), rng.Stream.DROPOUT, part=place)
        sequence.dropout(x, np.uint64(rate * 2.0**64), self.real(1.0 / (1.0 - rate)), key, GATHER_SHARDS)
