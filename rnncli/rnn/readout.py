"""The head: from the states it reads to losses, and back to the gradient of those states.

Three ways: one read-out a row; one at every token (`each`), a shard at a time; one at every token over a large
vocabulary (`wide`), a tile of words at a time. Dimension key: M loss terms (rows or tokens), N tokens, O width of the
states, C outputs, V words, S shards, P dense parameters.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.kernels import losses, wide_softmax
from rnncli.kernels.matmul import add_product
from rnncli.params import ParamStore
from rnncli.rnn.heads import HEADS
from rnncli.rnn.packing import PackedBatch
from rnncli.rnn.spec import NetworkSpec

Array = NDArray[Any]
WEIGHT, BIAS = "head.weight", "head.bias"


@dataclass(frozen=True)
class ReadBack:
    """What the backward pass of a head gives."""

    loss_M: NDArray[np.float64]  # of each term, unweighted
    dread_MO: Array
    full: dict[str, Array] = field(default_factory=dict)  # gradients of whole tables, by name


class Readout:
    """The head of a network; its weight and bias lie in the ParamStore, or a wide one's weight in a table."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec, self.head = spec, HEADS[spec.head]
        self.table = ("embedding" if spec.tied else "output") if spec.wide else None
        self._room: Array = np.empty(0, np.float32)  # for a wide head's logits, kept: fresh memory is slow to touch

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the dense parameters."""
        weight = {} if self.spec.wide else {WEIGHT: (self.spec.outputs, self.spec.stack.output_size)}
        return {**weight, BIAS: (self.spec.outputs,)}

    def weight(self, dense: ParamStore, tables: dict[str, Array]) -> Array:
        """(C, O), wherever it lies."""
        return dense[WEIGHT] if self.table is None else tables[self.table]

    def logits(self, dense: ParamStore, tables: dict[str, Array], read_MO: Array, batch: PackedBatch) -> Array:
        """(M, C), the whole of it."""
        logits_MC = np.empty((read_MO.shape[0], self.spec.outputs), read_MO.dtype)
        weight_t = np.ascontiguousarray(self.weight(dense, tables).T)
        if self.spec.each:
            losses.linear_steps(logits_MC, read_MO, weight_t, dense[BIAS], batch.tokens_S)
        else:
            losses.linear(logits_MC, read_MO, weight_t, dense[BIAS])
        return logits_MC

    def losses(
        self, logits_MC: Array, targets: Array, scale_M: Array, smoothing: Any, batch: PackedBatch | None = None
    ) -> tuple[NDArray[np.float64], Array]:
        """Loss of each term and its gradient (M, C) by the logits times scale_M; in parallel where a batch is given."""
        loss_M = np.empty(logits_MC.shape[0], np.float64)
        dlogits_MC = np.empty_like(logits_MC)
        if batch is not None and self.spec.each:
            losses.multiclass_loss_steps(loss_M, dlogits_MC, logits_MC, targets, scale_M, smoothing, batch.tokens_S)
        else:
            self.head.loss(loss_M, dlogits_MC, logits_MC, targets, scale_M, smoothing)
        return loss_M, dlogits_MC

    def backward(
        self, dense: ParamStore, dflat_SP: Array, dlogits_MC: Array, read_MO: Array, batch: PackedBatch
    ) -> Array:
        """dL/dread (M, O) of a head whose weight is dense; its own gradients are added into dflat_SP."""
        dread_MO = np.empty_like(read_MO)
        w, b = dense.slots[WEIGHT], dense.slots[BIAS]
        if self.spec.each:
            losses.linear_steps_backward(
                dread_MO, dflat_SP, w.offset, b.offset, dlogits_MC, read_MO, dense[WEIGHT], batch.tokens_S
            )
            return dread_MO
        dflat_P = dflat_SP[0]
        dw_CO, db_C = dflat_P[w.offset : w.offset + w.size].reshape(w.shape), dflat_P[b.offset : b.offset + b.size]
        losses.linear_backward(dread_MO, dw_CO, db_C, dlogits_MC, read_MO, dense[WEIGHT])
        return dread_MO

    def states(self, dense: ParamStore, tables: dict[str, Array], dlogits_MC: Array) -> Array:
        """dL/dread (M, O) = dlogits W, nothing else."""
        dread_MO = np.zeros((dlogits_MC.shape[0], self.spec.stack.output_size), dlogits_MC.dtype)
        add_product(dread_MO, dlogits_MC, self.weight(dense, tables))
        return dread_MO

    def wide_losses(self, dense: ParamStore, tables: dict[str, Array], read_NO: Array, targets: Array) -> "WideRun":
        """-log p of every token's target over the whole vocabulary."""
        weight_VO, n = self.weight(dense, tables), read_NO.shape[0]
        tiles = -(-weight_VO.shape[0] // wide_softmax.TILE)
        size = n * weight_VO.shape[0]
        if self._room.size < size or self._room.dtype != read_NO.dtype:
            self._room = np.empty(size, read_NO.dtype)
        e_flat = self._room[:size]
        top_KN, sum_KN = np.empty((tiles, n)), np.empty((tiles, n))
        target_N = np.empty(n, read_NO.dtype)
        wide_softmax.wide_forward(e_flat, top_KN, sum_KN, target_N, read_NO, weight_VO, dense[BIAS], targets)
        if n == 0:
            return WideRun(np.empty(0), e_flat, top_KN, np.empty(0))
        top_N = top_KN.max(axis=0)
        log_z_N = top_N + np.log((sum_KN * np.exp(top_KN - top_N)).sum(axis=0))
        return WideRun(log_z_N - target_N, e_flat, top_KN, log_z_N)

    def wide_backward(
        self,
        dense: ParamStore,
        tables: dict[str, Array],
        dflat_SP: Array,
        read_NO: Array,
        targets: Array,
        scale_N: Array,
        smoothing: Any,
    ) -> ReadBack:
        """Losses and gradients of a wide head; the bias's is added into dflat_SP, the weight's is a whole table."""
        run = self.wide_losses(dense, tables, read_NO, targets)
        weight_VO, loss_N = self.weight(dense, tables), run.loss_N
        if smoothing > 0:  # q = (1 - s) onehot + s / V: the mean logit of a token takes the place of its target's
            mean_N = np.einsum("no,o->n", read_NO, weight_VO.mean(axis=0)) + dense[BIAS].mean()
            loss_N = run.log_z_N - (1 - smoothing) * (run.log_z_N - run.loss_N) - smoothing * mean_N
        dh_GNO = np.empty((wide_softmax.GROUPS, *read_NO.shape), read_NO.dtype)
        dw_VO, db_V, dread_NO = np.empty_like(weight_VO), np.empty_like(dense[BIAS]), np.empty_like(read_NO)
        wide_softmax.wide_backward(
            dh_GNO, dw_VO, db_V, run.e_flat, run.top_KN, run.log_z_N, scale_N, smoothing, read_NO, weight_VO, targets
        )
        wide_softmax.add_groups(dread_NO, dh_GNO)
        slot = dense.slots[BIAS]
        dflat_SP[0, slot.offset : slot.offset + slot.size] += db_V
        assert self.table is not None
        return ReadBack(loss_N, dread_NO, {self.table: dw_VO})


@dataclass(frozen=True)
class WideRun:
    """What the forward pass of a wide head leaves behind, until the next one."""

    loss_N: NDArray[np.float64]
    e_flat: Array
    top_KN: NDArray[np.float64]
    log_z_N: NDArray[np.float64]
