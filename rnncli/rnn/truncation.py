"""Truncated back-propagation through time: long rows in windows, states carried from one to the next.

A window reads at most `steps` tokens and counts the losses of its last `stride` ones; gradients stop where it begins
(Williams & Peng 1990). With steps >= the longest row there is one window, and this is full back-propagation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.rnn.network import Gradients, Network
from rnncli.rnn.packing import PackedBatch, Sequences, pack

Array = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """A part of some rows."""

    begin: int  # first token of each row that is read
    count: int  # tokens read of each row, as far as it goes
    losses_from: int  # token of each row from which losses count

    def of(self, data: Sequences) -> Sequences:
        """These tokens of all rows; rows that are over by then have none."""
        lengths = np.clip(data.lengths - self.begin, 0, self.count)
        return Sequences(data.starts + self.begin, lengths, data.ids, data.features, data.values)


def windows(longest: int, steps: int, stride: int) -> Iterator[Window]:
    """The windows that cover rows of up to `longest` tokens, in order; 1 <= stride <= steps."""
    for counted in range(0, max(1, longest), stride):
        begin = max(0, counted + stride - steps)
        yield Window(begin, counted + stride - begin, counted)


def states_after(
    network: Network, run: Any, batch: PackedBatch, data: Sequences, count: int, start: list[Array] | None
) -> list[Array]:
    """The state of each layer after `count` tokens of each row of the batch, or all that it has, in the batch's order."""
    if batch.lengths_B.size == 0 or count >= int(batch.lengths_B.max()):
        return network.stack.states_at(run, batch.last_B, start)
    order = np.argsort(batch.position_N)
    wanted = data.starts[batch.rows_B] + np.minimum(batch.lengths_B, count) - 1
    at = np.searchsorted(batch.position_N[order], wanted)
    at_B = np.where(batch.lengths_B > 0, order[np.minimum(at, order.size - 1)], -1)
    return network.stack.states_at(run, at_B, start)


@dataclass(frozen=True)
class WindowStep:
    """One window's gradients and the losses that it counts."""

    gradients: Gradients
    weight: float
    tokens: int


def window_steps(
    network: Network,
    data: Sequences,
    steps: int,
    stride: int,
    term: Callable[[PackedBatch], tuple[Array, Array | None]],
    key: Callable[[int], np.uint64],
    smoothing: float = 0.0,
    fresh: Callable[[int], NDArray[np.bool_]] | None = None,
) -> Iterator[WindowStep]:
    """Gradients of each window of all rows of `data`, with a loss at each token; the network may change in between.

    `term` gives a batch's targets and weights (None: 1) at its tokens; `key` names the dropout mask of a window;
    `fresh` says which rows (n,) begin a window with zeros after all.
    """
    longest = int(data.lengths.max()) if data.n else 0
    rows = np.arange(data.n)
    states: list[Array] | None = None
    ways = list(windows(longest, steps, stride))
    for number, window in enumerate(ways):
        part = window.of(data)
        batch = pack(part, rows)
        start = None if states is None else [state[batch.rows_B] for state in states]
        out = network.forward(batch, key(number), start)
        targets, weights_M = term(batch)
        counted = _counted(batch, data, window)
        if counted is not None:
            weights_M = counted if weights_M is None else weights_M * counted
        gradients = network.backward(out, batch, targets, key(number), weights_M, smoothing)
        if counted is not None:
            gradients = Gradients(
                gradients.loss_M[counted > 0], gradients.dense_P, gradients.sparse, gradients.full
            )  # fmt: skip
        if number + 1 < len(ways) and ways[number + 1].begin > window.begin:
            ends = states_after(network, out.run, batch, part, ways[number + 1].begin - window.begin, start)
            states = [np.empty_like(end) for end in ends]
            for state, end in zip(states, ends, strict=True):
                state[batch.rows_B] = end
                if fresh is not None:
                    state[fresh(number + 1)] = 0
        weight = float(gradients.loss_M.size if weights_M is None else weights_M.sum())
        yield WindowStep(gradients, weight, gradients.loss_M.size)


def _counted(batch: PackedBatch, data: Sequences, window: Window) -> NDArray[np.float64] | None:
    """1 at the tokens of a window whose losses count, 0 at those that are only read again; None: all count."""
    if window.losses_from == window.begin:
        return None
    step_N = np.empty(batch.position_N.size, np.int64)
    order = np.argsort(data.starts[batch.rows_B])
    row = order[np.searchsorted(data.starts[batch.rows_B][order], batch.position_N, side="right") - 1]
    step_N[:] = batch.position_N - data.starts[batch.rows_B][row]
    return (step_N >= window.losses_from).astype(np.float64)


def tail_gradients(
    network: Network,
    data: Sequences,
    rows: NDArray[np.int64],
    steps: int,
    targets: Array,
    key: np.uint64 | None,
    weights: Array | None,
    smoothing: float,
) -> tuple[Gradients, int]:
    """Gradients of losses at the rows' ends that go back `steps` tokens; targets and weights by row of `data`.

    What lies before is read only for the state that the rest begins with. Also gives the tokens read.
    """
    before = np.maximum(data.lengths[rows] - steps, 0)
    first = Sequences(data.starts[rows], before, data.ids, data.features, data.values)
    rest = Sequences(
        data.starts[rows] + before, data.lengths[rows] - before, data.ids, data.features, data.values
    )  # fmt: skip
    everything = np.arange(rows.size)
    batch = pack(rest, everything)
    start = None
    if before.any():
        head = pack(first, everything)
        ends = network.stack.states_at(network.forward(head, key).run, head.last_B, None)
        start = []
        for end in ends:
            by_row = np.empty_like(end)
            by_row[head.rows_B] = end
            start.append(by_row[batch.rows_B])
    out = network.forward(batch, key, start)
    chosen = rows[batch.rows_B]
    weights_M = None if weights is None else weights[chosen]
    gradients = network.backward(out, batch, targets[chosen], key, weights_M, smoothing)
    return gradients, int(data.lengths[rows].sum())
