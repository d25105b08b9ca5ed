"""Every parameter's gradient against central differences in float64."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.results import GradientCheckResult, GradientCheckRow
from rnncli.rnn.network import Network
from rnncli.rnn.packing import PackedBatch

STEP = 1e-3  # of the fourth-order difference: its error is of order STEP^4 = 1e-12
COORDINATES = 200  # per tensor; smaller tensors are checked whole
DIRECTIONS = 3  # random directions per tensor, which feel every coordinate
TINY = 1e-12  # gradients below this are compared absolutely

Evaluate = Callable[[], tuple[float, bytes]]


def check_gradients(
    network: Network, batch: PackedBatch, labels_B: NDArray[np.int32], tolerance: float, seed: int = 0
) -> GradientCheckResult:
    """Compare analytic gradients of the mean loss with (8 (f(+h) - f(-h)) - (f(+2h) - f(-2h))) / 12h.

    Per tensor all coordinates, or COORDINATES of them drawn at random, and DIRECTIONS random directions through the whole
    tensor. relative_error = max |analytic - numeric| / max(|analytic|, |numeric|) over what was compared. Where a ReLU
    changes side within the step there is no derivative to compare: such a coordinate is left out.
    `network` must be float64; dropout is off.
    """
    gradients = network.gradients(batch, labels_B)
    analytic = {}
    for name, table in network.tables.items():
        whole = np.zeros_like(table)
        if name in gradients.sparse:
            whole[gradients.sparse[name].rows_U] = gradients.sparse[name].values_UE
        if name in gradients.full:
            whole += gradients.full[name]
        analytic[f"{name}.weight"] = (table, whole)
    for name, slot in network.dense.slots.items():
        part = gradients.dense_P[slot.offset : slot.offset + slot.size].reshape(slot.shape)
        analytic[name] = (network.dense[name], part)

    def evaluate() -> tuple[float, bytes]:
        out = network.forward(batch)
        return float(network.losses_of(out, batch, labels_B).mean()), out.corners(network.stack.cell.relu)

    rows = [
        _check_tensor(name, x.reshape(-1), g.reshape(-1), x.shape, evaluate, rng.key(seed, rng.Stream.CHECK, part=i))
        for i, (name, (x, g)) in enumerate(analytic.items())
    ]
    worst = max(row.relative_error for row in rows)
    return GradientCheckResult(tolerance, worst, worst <= tolerance, rows)


def _check_tensor(
    name: str,
    x: NDArray[np.float64],
    g: NDArray[np.float64],
    shape: tuple[int, ...],
    evaluate: Evaluate,
    key: np.uint64,
) -> GradientCheckRow:
    chosen = np.arange(x.size) if x.size <= COORDINATES else np.sort(rng.permutation(key, x.size)[:COORDINATES])
    pairs, checked = [], 0
    for i in chosen:
        direction = np.zeros(x.size)
        direction[i] = 1.0
        numeric = _difference(x, direction, evaluate)
        if numeric is not None:
            pairs.append((float(g[i]), numeric))
            checked += 1
    error = _relative(pairs)
    for j in range(DIRECTIONS):
        direction = rng.normals(rng.key(int(key), rng.Stream.CHECK, part=j), x.size)
        direction /= np.linalg.norm(direction)
        numeric = _difference(x, direction, evaluate)
        if (
            numeric is not None
        ):  # judged against the gradient's length: a random direction may be nearly at right angles
            size = max(float(np.linalg.norm(g)), TINY)
            error = max(error, abs(float(g @ direction) - numeric) / size)
    return GradientCheckRow(name, list(shape), checked, error)


def _difference(x: NDArray[np.float64], direction: NDArray[np.float64], evaluate: Evaluate) -> float | None:
    """Fourth-order central difference along a direction; None when a ReLU changed side on the way."""
    kept = x.copy()
    values, sides = [], {evaluate()[1]}
    for factor in (1.0, -1.0, 2.0, -2.0):
        x[:] = kept + factor * STEP * direction
        value, side = evaluate()
        values.append(value)
        sides.add(side)
    x[:] = kept
    if len(sides) > 1:
        return None
    return (8.0 * (values[0] - values[1]) - (values[2] - values[3])) / (12.0 * STEP)


def _relative(pairs: list[tuple[float, float]]) -> float:
    if not pairs:
        return 0.0
    analytic, numeric = np.array(pairs).T
    return float(np.abs(analytic - numeric).max() / max(np.abs(analytic).max(), np.abs(numeric).max(), TINY))
