"""Run a network over probe sequences in float64 and keep what the instrument needs, row by row in each chain's own time.

Dimension key: R rows (probe sequences with at least one token), N tokens of all rows, row after row, M loss terms, G gates x
H, O width of the top layer, Q blocks. A chain is one direction of one layer; its own time begins where it begins to read.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.inspection.local import (
    Array,
    LocalDerivatives,
    gru_derivatives,
    lstm_derivatives,
    simple_derivatives,
)
from rnncli.rnn.cells import LayerPlace
from rnncli.rnn.network import Forward, Network
from rnncli.rnn.packing import PackedBatch, Sequences, pack

Ints = NDArray[np.int64]
BLOCKS = ("W_hh", "W_ih", "b")  # what a share of the update is of; the first layer also has the embedding


@dataclass(frozen=True)
class Chain:
    """One direction of one layer, its tokens in its own time."""

    place: LayerPlace
    cell: str
    a_NG: Array  # pre-activations
    h_NH: Array
    h_before_NH: Array
    source_NH: Array  # what the recurrent weight of the last gate multiplies: h_before, or r h_before (GRU before)
    x_NI: Array
    local: LocalDerivatives
    w_hh_GH: Array
    w_ih_GI: Array
    c_NH: Array | None  # LSTM
    gradients: dict[str, Array]  # of the summed loss: W_hh (G, H), W_ih (G, I), b (G,), b_hn (H,) for the GRU

    @property
    def hidden(self) -> int:
        return int(self.w_hh_GH.shape[1])

    @property
    def state_size(self) -> int:
        return self.hidden * (2 if self.local.form == 1 else 1)


@dataclass(frozen=True)
class Rollout:
    """What the forward pass over the probe left behind, and dL/dh of the top layer."""

    network: Network  # float64
    offsets: Ints  # (R + 1,) tokens of each row
    rows: Ints  # (R,) row numbers in the probe
    ids_N: NDArray[np.int32]  # empty where numbers are read
    layers: list[list[Chain]]  # by layer, then direction
    direct_NO: Array  # gradient of the summed loss by the top layer's output, without the recurrent path
    flip_N: Ints  # the token at the mirrored place of the same row
    embedding_NI: Array | None  # gradient of the summed loss by the embedding row of each token
    loss_M: Array
    logits_MC: Array  # (M, C), empty for a wide softmax
    targets_M: NDArray[Any]

    @property
    def lengths(self) -> Ints:
        return np.diff(self.offsets)

    @property
    def chains(self) -> list[Chain]:
        return [chain for layer in self.layers for chain in layer]


def roll_out(network: Network, data: Sequences, targets: NDArray[Any]) -> Rollout:
    """Forward pass over all rows of `data` and dL/dh, dropout off; every loss term by itself, not divided by their number.

    targets   by row of `data`, or by token where there is a loss at each (n tokens of `data`, which must lie one row after
              the other).
    """
    exact = network.astype(np.float64)
    kept = np.flatnonzero(data.lengths > 0)
    batch = pack(data, kept)
    out = exact.forward(batch)
    y = targets[batch.position_N] if network.spec.each else targets[batch.rows_B]
    if not np.issubdtype(y.dtype, np.integer):
        y = y.astype(np.float64)
    terms = y.shape[0]
    gradients = exact.backward(out, batch, y)
    order = np.argsort(batch.position_N)  # rows lie one after the other in `data`
    lengths = data.lengths[kept]
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    flip = np.repeat(offsets[:-1] + offsets[1:] - 1, lengths) - np.arange(offsets[-1])
    layers = []
    for layer, run in enumerate(out.run.layers):
        x = run.x_NI[order]
        layers.append(
            [
                _chain(exact, place, cache, x[flip] if place.reverse else x, order, offsets, gradients.dense_P * terms)
                for place, cache in zip([p for p in exact.stack.places if p.layer == layer], run.caches, strict=True)
            ]
        )
    embedding = None
    if "embedding" in gradients.sparse and not network.spec.features:
        touched = gradients.sparse["embedding"]
        embedding = terms * touched.values_UE[np.searchsorted(touched.rows_U, batch.ids_N[order])]
    by_row = order if network.spec.each else np.argsort(batch.rows_B)
    direct, loss = _direct(exact, batch, out, y)
    return Rollout(
        exact, offsets, kept, batch.ids_N[order] if batch.ids_N.size else batch.ids_N, layers, direct[order], flip,
        embedding, loss[by_row], out.logits_MC[by_row] if out.logits_MC.size else out.logits_MC, y[by_row],
    )  # fmt: skip


def _direct(exact: Network, batch: PackedBatch, out: Forward, y: NDArray[Any]) -> tuple[Array, Array]:
    """dL/dh (N, O) of the top layer without the recurrent path, and the loss of each term."""
    ones = np.ones(y.shape[0])
    unused_SP = np.zeros((batch.shards, exact.dense.flat.size))
    if exact.spec.wide:
        back = exact.readout.wide_backward(exact.dense, exact.tables, unused_SP, out.read_MO, y, ones, np.float64(0))
        return back.dread_MO, back.loss_M
    loss_M, dlogits_MC = exact.losses(out.logits_MC, y)
    dread_MO = exact.head_backward(dlogits_MC)
    if exact.pooling is None:
        return dread_MO, loss_M
    slot = exact.dense.slots.get("pooling.query")
    dquery_SO = unused_SP[:, : slot.size if slot else 0]
    return exact.pooling.backward(dquery_SO, dread_MO, out.pooled, out.run.h_NO, exact.query, batch), loss_M


def _before(states_NH: Array, offsets: Ints) -> Array:
    """The state of the step before; a row begins with zeros."""
    before = np.zeros_like(states_NH)
    before[1:] = states_NH[:-1]
    before[offsets[:-1]] = 0.0
    return before


def _chain(
    exact: Network, place: LayerPlace, cache: Any, x_NI: Array, order: Ints, offsets: Ints, gradient_P: Array
) -> Chain:
    cell, name = exact.stack.cell, place.suffix
    a, h = cache[0][order], cache.h_NH[order]  # pre-activations come first in every cache
    h_before = source = _before(h, offsets)
    c = None
    if cell.name == "lstm":
        c = cache.c_NH[order]
        local = lstm_derivatives(a, c, _before(c, offsets))
    elif cell.name in ("gru", "gru_before"):
        local = gru_derivatives(a, h_before, cache.m_NH[order], cell.name == "gru_before")
        source = h_before * local.reset_NH if cell.name == "gru_before" else h_before
    else:
        local = simple_derivatives(cell.derivative(a))

    def gradient(kind: str) -> Array:
        slot = exact.dense.slots[f"rnn.{kind}_{name}"]
        return gradient_P[slot.offset : slot.offset + slot.size].reshape(slot.shape)

    gradients = {"W_hh": gradient("weight_hh"), "W_ih": gradient("weight_ih"), "b": gradient("bias")}
    if cell.own_n_bias:
        gradients["b_hn"] = gradient("bias_hn")
    return Chain(
        place, cell.name, a, h, h_before, source, np.ascontiguousarray(x_NI), local,
        np.ascontiguousarray(exact.dense[f"rnn.weight_hh_{name}"]),
        np.ascontiguousarray(exact.dense[f"rnn.weight_ih_{name}"]), c, gradients,
    )  # fmt: skip
