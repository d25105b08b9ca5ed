"""Embedding -> recurrent layers -> pooling -> head: the forward pass, the loss and every gradient.

Dimension key: B rows, N tokens, S shards, E embedding, O width of the last layer, C outputs, V vocabulary, U distinct
tokens, P dense parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rnncli import rng
from rnncli.config.rnn import ModelConfig
from rnncli.kernels import losses, optim, sequence
from rnncli.params import ParamStore
from rnncli.rnn import init
from rnncli.rnn.heads import HEADS, choose_head
from rnncli.rnn.packing import PackedBatch
from rnncli.rnn.pooling import Pooled, Pooling
from rnncli.rnn.stack import Stack, StackRun, StackSpec

EMBEDDING, POOLED, BETWEEN = 0, 1, 2  # places of dropout; BETWEEN + k after layer k
QUERY = "pooling.query"
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
    layers: int = 1
    bidirectional: bool = False
    pooling: str = "last"

    @classmethod
    def of(cls, model: ModelConfig, vocabulary: int, embedding_dim: int, classes: int) -> "NetworkSpec":
        """The network that a config describes, for so many tokens and labels."""
        return cls(
            cell="gru_before" if (model.cell, model.reset_gate) == ("gru", "before") else model.cell,
            head=choose_head(model.head, classes),
            vocabulary=vocabulary,
            embedding_dim=embedding_dim,
            hidden_size=model.hidden_size,
            classes=classes,
            dropout=model.dropout,
            layers=model.layers,
            bidirectional=model.bidirectional,
            pooling=model.pooling,
        )

    @property
    def stack(self) -> StackSpec:
        return StackSpec(self.cell, self.embedding_dim, self.hidden_size, self.layers, self.bidirectional)

    @property
    def outputs(self) -> int:
        return HEADS[self.head].outputs(self.classes)


@dataclass(frozen=True)
class Forward:
    """What a forward pass leaves behind."""

    x_NE: NDArray[Any]
    run: StackRun
    pooled: Pooled
    read_BO: NDArray[Any]  # what the head reads: pooled, after dropout
    logits_BC: NDArray[Any]

    @property
    def cache(self) -> Any:
        """What the first layer's forward direction kept."""
        return self.run.layers[0].caches[0]

    def corners(self, relu: bool) -> bytes:
        """On which side of every corner the pass went (ReLU, maxima): where it changes there is no derivative."""
        signs = [np.packbits(cache.a_NH > 0) for layer in self.run.layers for cache in layer.caches] if relu else []
        return b"".join(side.tobytes() for side in signs) + self.pooled.chosen_BO.tobytes()


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
        self.stack, self.head = Stack(spec.stack), HEADS[spec.head]
        self.pooling = Pooling(spec.pooling, spec.hidden_size)
        shapes = self.stack.shapes()
        if self.pooling.learned:
            shapes[QUERY] = (spec.stack.output_size,)
        shapes["head.weight"] = (spec.outputs, spec.stack.output_size)
        shapes["head.bias"] = (spec.outputs,)
        self.dense = ParamStore(shapes, self.dtype)
        self.embedding_VE: NDArray[Any] = np.zeros((spec.vocabulary, spec.embedding_dim), self.dtype)

    def initialise(self, how: str, seed: int) -> None:
        """First values: W_hh as `how` says, Glorot for the other weights, small normal numbers for the embedding."""
        spec = self.spec
        self.stack.initialise(self.dense, how, seed)  # the query begins at zero: all tokens alike
        self.dense["head.weight"][:] = init.xavier(
            rng.key(seed, rng.Stream.INIT, part=3), (spec.outputs, spec.stack.output_size)
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
        self._drop(x_NE, dropout_key, EMBEDDING)
        run = self.stack.forward(self.dense, x_NE, batch, self._between(dropout_key))
        pooled = self.pooling.forward(run.h_NO, self._query, batch)
        read_BO = pooled.pooled_BO
        self._drop(read_BO, dropout_key, POOLED)
        logits_BC = np.empty((batch.rows_B.size, spec.outputs), self.dtype)
        losses.linear(logits_BC, read_BO, np.ascontiguousarray(self.dense["head.weight"].T), self.dense["head.bias"])
        return Forward(x_NE, run, pooled, read_BO, logits_BC)

    def loss(self, batch: PackedBatch, labels_B: NDArray[np.int32]) -> NDArray[np.float64]:
        """Loss of each row, nats, without dropout."""
        return self.losses(self.forward(batch).logits_BC, labels_B)[0]

    def gradients(
        self,
        batch: PackedBatch,
        labels_B: NDArray[np.int32],
        dropout_key: np.uint64 | None = None,
        weights_B: NDArray[Any] | None = None,
        smoothing: float = 0.0,
    ) -> Gradients:
        """Gradients of the mean loss over the rows of a batch, weighted by `weights_B` (B,) where given."""
        out = self.forward(batch, dropout_key)
        weights = np.ones(labels_B.size) if weights_B is None else weights_B
        total = float(weights.sum())
        loss_B, dlogits_BC = self.losses(out.logits_BC, labels_B, weights / total if total else weights, smoothing)
        dflat_SP = np.zeros((batch.shards, self.dense.flat.size), self.dtype)
        dread_BO = self.head_backward(dflat_SP[0], dlogits_BC, out.read_BO)
        self._drop(dread_BO, dropout_key, POOLED)
        dx_NE = self.states_backward(dflat_SP, dread_BO, batch, out, dropout_key)
        self._drop(dx_NE, dropout_key, EMBEDDING)
        dense_P = np.empty_like(self.dense.flat)
        optim.sum_shards(dense_P, dflat_SP)
        distinct = batch.distinct
        embedding_UE = np.empty((distinct.rows_U.size, self.spec.embedding_dim), self.dtype)
        sequence.scatter_add(embedding_UE, dx_NE, distinct.order_N, distinct.starts_U)
        return Gradients(loss_B, dense_P, embedding_UE, distinct.rows_U)

    def head_backward(self, dflat_P: NDArray[Any], dlogits_BC: NDArray[Any], read_BO: NDArray[Any]) -> NDArray[Any]:
        """Gradient (B, O) of what the head read; the head's own gradients are added into dflat_P."""
        dread_BO = np.empty_like(read_BO)
        w, b = self.dense.slots["head.weight"], self.dense.slots["head.bias"]
        dw_CH = dflat_P[w.offset : w.offset + w.size].reshape(w.shape)
        losses.linear_backward(
            dread_BO, dw_CH, dflat_P[b.offset : b.offset + b.size], dlogits_BC, read_BO, self.dense["head.weight"]
        )
        return dread_BO

    def states_backward(
        self,
        dflat_SP: NDArray[Any],
        dpooled_BO: NDArray[Any],
        batch: PackedBatch,
        out: Forward,
        dropout_key: np.uint64 | None = None,
    ) -> NDArray[Any]:
        """dL/dx (N, E) from the gradient of the pooled states; parameter gradients are added into dflat_SP."""
        slot = self.dense.slots.get(QUERY)
        dquery_SO = dflat_SP[:, slot.offset : slot.offset + slot.size] if slot else dflat_SP[:, :0]
        dh_NO = self.pooling.backward(dquery_SO, dpooled_BO, out.pooled, out.run.h_NO, self._query, batch)
        return self.stack.backward(dflat_SP, self.dense, dh_NO, out.run, batch, self._between(dropout_key))

    @property
    def _query(self) -> NDArray[Any]:
        return self.dense[QUERY] if self.pooling.learned else self.dense.flat[:0]

    def _between(self, dropout_key: np.uint64 | None) -> Callable[[NDArray[Any], int], None] | None:
        if dropout_key is None or self.spec.dropout == 0.0:
            return None
        return lambda x, layer: self._drop(x, dropout_key, BETWEEN + layer)

    def losses(
        self,
        logits_BC: NDArray[Any],
        labels_B: NDArray[np.int32],
        scale_B: NDArray[Any] | None = None,
        smoothing: float = 0.0,
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Loss of each row, nats, and its gradient (B, C) by the logits, times `scale_B` (B,), 1 when not given."""
        loss_B = np.empty(labels_B.size, np.float64)
        dlogits_BC = np.empty_like(logits_BC)
        scale = np.ones(labels_B.size, self.dtype) if scale_B is None else scale_B.astype(self.dtype)
        self.head.loss(loss_B, dlogits_BC, logits_BC, labels_B, scale, self.real(smoothing))
        return loss_B, dlogits_BC

    def _drop(self, x: NDArray[Any], dropout_key: np.uint64 | None, place: int) -> None:
        if dropout_key is None or self.spec.dropout == 0.0:
            return
        rate = self.spec.dropout
        key = rng.key(int(dropout_key), rng.Stream.DROPOUT, part=place)
        sequence.dropout(x, np.uint64(rate * 2.0**64), self.real(1.0 / (1.0 - rate)), key, GATHER_SHARDS)
