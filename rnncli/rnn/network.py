"""Inputs -> recurrent layers -> pooling -> head: the forward pass, the loss and every gradient.

Dimension key: B rows, N tokens, M loss terms (rows, or tokens where there is a loss at each), S shards, I input, O width
of the last layer, C outputs, P dense parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rnncli import rng
from rnncli.kernels import optim, sequence
from rnncli.params import ParamStore
from rnncli.rnn import init
from rnncli.rnn.inputs import GATHER_SHARDS, SparseRows, look_up, look_up_backward
from rnncli.rnn.packing import PackedBatch
from rnncli.rnn.pooling import Pooled, Pooling
from rnncli.rnn.readout import WEIGHT, Readout
from rnncli.rnn.spec import NetworkSpec
from rnncli.rnn.stack import Stack, StackRun

__all__ = ["Forward", "Gradients", "Network", "NetworkSpec"]

Array = NDArray[Any]
EMBEDDING, POOLED, BETWEEN = 0, 1, 2  # places of dropout; BETWEEN + k after layer k
QUERY = "pooling.query"
HEAD_PART, TABLE_PARTS = 3, {"embedding": 4, "features": 5, "output": 6}  # which draws of Stream.INIT are whose
NO_POOLING = Pooled(np.empty((0, 0), np.float32), np.empty((0, 0), np.int32), np.empty(0, np.float32))


@dataclass(frozen=True)
class Forward:
    """What a forward pass leaves behind."""

    x_NI: Array
    run: StackRun
    pooled: Pooled
    read_MO: Array  # what the head reads, after dropout
    logits_MC: Array  # empty for a wide head, whose logits are never all there at once

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
    """Loss of each term and the gradients of their weighted mean."""

    loss_M: NDArray[np.float64]  # unweighted
    dense_P: Array
    sparse: dict[str, SparseRows] = field(default_factory=dict)  # of tables, for the rows that were touched
    full: dict[str, Array] = field(default_factory=dict)  # of tables, for every row


class Network:
    """A recurrent network: all dense parameters in one flat vector, the tables (embedding, ...) beside it."""

    def __init__(self, spec: NetworkSpec, dtype: DTypeLike = np.float32) -> None:
        self.spec = spec
        self.dtype = np.dtype(dtype)
        self.stack, self.readout = Stack(spec.stack), Readout(spec)
        self.head = self.readout.head
        self.pooling = None if spec.each else Pooling(spec.pooling, spec.hidden_size)
        shapes = self.stack.shapes()
        if self.pooling is not None and self.pooling.learned:
            shapes[QUERY] = (spec.stack.output_size,)
        self.dense = ParamStore(shapes | self.readout.shapes(), self.dtype)
        self.tables: dict[str, Array] = {name: np.zeros(shape, self.dtype) for name, shape in spec.tables.items()}

    @property
    def embedding_VE(self) -> Array:
        return self.tables["embedding"]

    @embedding_VE.setter
    def embedding_VE(self, values: Array) -> None:
        self.tables["embedding"] = values

    def initialise(self, start: str | init.Start, seed: int) -> None:
        """First values: W_hh as `start` says, Glorot for the other weights, small normal numbers for what is looked up."""
        start = init.Start(start) if isinstance(start, str) else start
        self.stack.initialise(self.dense, start, seed)  # the query begins at zero: all tokens alike
        if WEIGHT in self.dense.slots:
            self.dense[WEIGHT][:] = init.xavier(
                rng.key(seed, rng.Stream.INIT, part=HEAD_PART), self.dense[WEIGHT].shape
            )
        for name, table in self.tables.items():
            draws = rng.normals(rng.key(seed, rng.Stream.INIT, part=TABLE_PARTS[name]), table.size)
            table[:] = 0.1 * draws.reshape(table.shape)

    def astype(self, dtype: DTypeLike) -> "Network":
        """A copy in another precision."""
        copy = Network(self.spec, dtype)
        copy.dense = self.dense.astype(dtype)
        copy.tables = {name: table.astype(dtype) for name, table in self.tables.items()}
        return copy

    def real(self, value: float) -> Any:
        """A scalar in the network's precision: a float64 one would make float32 kernels compute in float64."""
        return np.asarray(value, self.dtype)[()]

    def forward(
        self,
        batch: PackedBatch,
        dropout_key: np.uint64 | None = None,
        start: list[Array] | None = None,
        keep: bool = True,
    ) -> Forward:
        """What the head gives; dropout only when a key names its mask; `start` and `keep` as in Stack.forward."""
        x_NI = look_up(self.spec, self.tables, batch, self.dtype)
        if not self.spec.inputs:
            self._drop(x_NI, dropout_key, EMBEDDING)
        run = self.stack.forward(self.dense, x_NI, batch, self._between(dropout_key), start, keep)
        if self.pooling is None:
            pooled, read_MO = NO_POOLING, run.h_NO
            read_MO = read_MO.copy() if dropout_key is not None and self.spec.dropout > 0 else read_MO
        else:
            pooled = self.pooling.forward(run.h_NO, self.query, batch)
            read_MO = pooled.pooled_BO
        self._drop(read_MO, dropout_key, POOLED)
        if self.spec.wide:
            return Forward(x_NI, run, pooled, read_MO, np.empty((0, self.spec.outputs), self.dtype))
        return Forward(x_NI, run, pooled, read_MO, self.logits(read_MO, batch))

    def logits(self, read_MO: Array, batch: PackedBatch) -> Array:
        """All logits (M, C) of what the head read."""
        return self.readout.logits(self.dense, self.tables, read_MO, batch)

    def loss(self, batch: PackedBatch, targets: Array) -> NDArray[np.float64]:
        """Loss of each term without dropout: nats, or squared units of the targets."""
        return self.losses_of(self.forward(batch, keep=False), batch, targets)

    def losses_of(self, out: Forward, batch: PackedBatch, targets: Array) -> NDArray[np.float64]:
        """Loss of each term of a forward pass."""
        if self.spec.wide:
            return self.readout.wide_losses(self.dense, self.tables, out.read_MO, targets).loss_N
        scale_M = np.ones(out.logits_MC.shape[0], self.dtype)
        return self.readout.losses(out.logits_MC, targets, scale_M, self.real(0.0), batch)[0]

    def losses(self, logits_MC: Array, targets: Array) -> tuple[NDArray[np.float64], Array]:
        """Loss of each term and its gradient (M, C) by the logits, each term by itself."""
        return self.readout.losses(logits_MC, targets, np.ones(logits_MC.shape[0], self.dtype), self.real(0.0))

    def head_backward(self, dlogits_MC: Array) -> Array:
        """Gradient (M, O) of what the head read, from that of its logits; dropout off."""
        return self.readout.states(self.dense, self.tables, dlogits_MC)

    def gradients(
        self,
        batch: PackedBatch,
        targets: Array,
        dropout_key: np.uint64 | None = None,
        weights_M: NDArray[Any] | None = None,
        smoothing: float = 0.0,
    ) -> Gradients:
        """Gradients of the mean loss over the terms of a batch, weighted by `weights_M` (M,) where given.

        targets   label numbers (M,) int32; (M, C) of 0 and 1 for multilabel; (M, C) numbers for regression. The terms are
                  the rows of the batch in its order, or its tokens where there is a loss at each.
        """
        return self.backward(self.forward(batch, dropout_key), batch, targets, dropout_key, weights_M, smoothing)

    def backward(
        self,
        out: Forward,
        batch: PackedBatch,
        targets: Array,
        dropout_key: np.uint64 | None = None,
        weights_M: NDArray[Any] | None = None,
        smoothing: float = 0.0,
    ) -> Gradients:
        """The gradients of a forward pass made with the same dropout key; see `gradients`."""
        weights = np.ones(targets.shape[0]) if weights_M is None else weights_M
        total = float(weights.sum())
        scale_M = (weights / total if total else weights).astype(self.dtype)
        dflat_SP = np.zeros((batch.shards, self.dense.flat.size), self.dtype)
        full: dict[str, Array] = {}
        if self.spec.wide:
            back = self.readout.wide_backward(
                self.dense, self.tables, dflat_SP, out.read_MO, targets, scale_M, self.real(smoothing)
            )
            loss_M, dread_MO, full = back.loss_M, back.dread_MO, dict(back.full)
        else:
            loss_M, dlogits_MC = self.readout.losses(out.logits_MC, targets, scale_M, self.real(smoothing), batch)
            dread_MO = self.readout.backward(self.dense, dflat_SP, dlogits_MC, out.read_MO, batch)
        self._drop(dread_MO, dropout_key, POOLED)
        dx_NI = self.states_backward(dflat_SP, dread_MO, batch, out, dropout_key)
        if not self.spec.inputs:
            self._drop(dx_NI, dropout_key, EMBEDDING)
        dense_P = np.empty_like(self.dense.flat)
        optim.sum_shards(dense_P, dflat_SP)
        sparse = look_up_backward(self.spec, dx_NI, batch)
        if self.spec.tied:
            touched = sparse.pop("embedding")
            full["embedding"][touched.rows_U] += touched.values_UE
        return Gradients(loss_M, dense_P, sparse, full)

    def states_backward(
        self,
        dflat_SP: Array,
        dread_MO: Array,
        batch: PackedBatch,
        out: Forward,
        dropout_key: np.uint64 | None = None,
    ) -> Array:
        """dL/dx (N, I) from the gradient of what the head read; parameter gradients are added into dflat_SP."""
        dh_NO = dread_MO
        if self.pooling is not None:
            slot = self.dense.slots.get(QUERY)
            dquery_SO = dflat_SP[:, slot.offset : slot.offset + slot.size] if slot else dflat_SP[:, :0]
            dh_NO = self.pooling.backward(dquery_SO, dread_MO, out.pooled, out.run.h_NO, self.query, batch)
        return self.stack.backward(dflat_SP, self.dense, dh_NO, out.run, batch, self._between(dropout_key))

    @property
    def query(self) -> Array:
        learned = self.pooling is not None and self.pooling.learned
        return self.dense[QUERY] if learned else self.dense.flat[:0]

    def _between(self, dropout_key: np.uint64 | None) -> Callable[[Array, int], None] | None:
        if dropout_key is None or self.spec.dropout == 0.0:
            return None
        return lambda x, layer: self._drop(x, dropout_key, BETWEEN + layer)

    def _drop(self, x: Array, dropout_key: np.uint64 | None, place: int) -> None:
        if dropout_key is None or self.spec.dropout == 0.0:
            return
        rate = self.spec.dropout
        key = rng.key(int(dropout_key), rng.Stream.DROPOUT, part=place)
        sequence.dropout(x, np.uint64(rate * 2.0**64), self.real(1.0 / (1.0 - rate)), key, GATHER_SHARDS)
