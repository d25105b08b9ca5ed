"""Run a network over probe sequences in float64 and keep what the instrument needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli.inspection.adjoints import Array, Trajectory
from rnncli.rnn.network import Network
from rnncli.rnn.packing import pack_batch


@dataclass(frozen=True)
class Rollout:
    """Probe sequences with at least one token, and how the network does on them."""

    rows: list[Trajectory]
    a_NH: Array  # pre-activations of all steps of all rows
    h_NH: Array
    w_HH: Array
    loss_R: Array
    correct_share: float


def roll_out(
    network: Network, ids: NDArray[np.int32], offsets: NDArray[np.int64], labels: NDArray[np.int32]
) -> Rollout:
    """Forward pass and dL/dh_T of every row, dropout off. Each row's loss is taken by itself, not divided by the rows."""
    exact = network.astype(np.float64)
    kept = np.flatnonzero(np.diff(offsets) > 0)
    batch = pack_batch(ids, offsets, kept)
    out = exact.forward(batch)
    y = labels[batch.rows_B]
    loss_B, dlogits_BC = exact.losses(out.logits_MC, y)
    dlast_BH = exact.head_backward(dlogits_BC)
    predicted = exact.head.probabilities(out.logits_MC).argmax(axis=1)
    where = np.empty(ids.size, np.int64)  # packed index of each token of the data set
    where[batch.position_N] = np.arange(batch.position_N.size)
    derivative = exact.stack.cell.derivative(out.cache.a_NH)
    rows: list[Trajectory] = []
    place = {int(row): b for b, row in enumerate(batch.rows_B)}
    for row in kept:
        steps = where[offsets[row] : offsets[row + 1]]
        rows.append(
            Trajectory(
                derivative[steps],
                np.concatenate([out.cache.begin_BH[place[int(row)]][None], out.cache.h_NH[steps[:-1]]]),
                out.x_NI[steps],
                dlast_BH[place[int(row)]],
            )
        )
    order = [place[int(row)] for row in kept]
    return Rollout(
        rows, out.cache.a_NH, out.cache.h_NH, np.array(exact.dense["rnn.weight_hh_l0"]), loss_B[order],
        float((predicted == y).mean()),
    )  # fmt: skip
