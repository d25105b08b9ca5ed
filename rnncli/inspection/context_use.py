"""M18: how many of the last inputs a network uses: its loss when it reads no more than n of them, forward passes only.

delta loss(n) = mean loss with the last n inputs - mean loss with all (Khandelwal et al. 2018, section 3, who truncate the
context of a trained language model in the same way). A state that has seen n inputs only may be one that training never
met, so a large value at small n is an upper bound of what the inputs before are worth.
Dimension key: n rows, K loss terms, L lengths of context, O width of the states, C outputs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.inspection.jacobians import log_spaced_lags
from rnncli.kernels import losses
from rnncli.rnn.inputs import look_up
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences, pack
from rnncli.rnn.predict import prediction_batches
from rnncli.rnn.readout import BIAS

Array = NDArray[Any]
Integers = NDArray[np.integer[Any]]
TERMS = 2000  # loss positions of a head with a loss at each token that are sampled
HEAD_TERMS = 256  # bounds the memory of the logits of a large vocabulary
ABSOLUTE, RELATIVE = 0.01, 0.01  # nats; share of the largest delta


@dataclass(frozen=True)
class ContextUse:
    """Loss by the number of inputs read, against reading all of them."""

    n_L: NDArray[np.int64]
    delta_L: NDArray[np.float64]  # mean over all loss terms, also those with no more than n inputs, whose delta is 0
    error_L: NDArray[np.float64]  # standard error of delta over loss terms taken as independent
    cut_L: NDArray[np.float64]  # share of the loss terms that had more than n inputs
    loss: float  # mean with all inputs
    terms: int
    unit: str  # "nats" or "squared units"
    window: str  # what "the last n" are

    @property
    def reach_absolute(self) -> int | None:
        """The smallest measured n from which on delta stays at or below 0.01 nat; None for losses in other units."""
        return self._reach(ABSOLUTE) if self.unit == "nats" else None

    @property
    def reach_relative(self) -> int | None:
        """The same for 1 % of the largest delta, which is nearly always that of n = 1; None where all inputs gain nothing."""
        gain = float(self.delta_L.max()) if self.n_L.size else 0.0
        return self._reach(RELATIVE * gain) if gain > 0 else None

    def _reach(self, level: float) -> int | None:
        above = np.flatnonzero(self.delta_L > level)
        first = int(above[-1]) + 1 if above.size else 0
        return int(self.n_L[first]) if first < self.n_L.size else None

    def to_json(self) -> dict[str, Any]:
        """The key `context_use` of the report."""
        return {
            "n": self.n_L.tolist(),
            "delta_loss": self.delta_L.tolist(),
            "standard_error": self.error_L.tolist(),
            "cut_share": self.cut_L.tolist(),
            "unit": self.unit,
            "loss": self.loss,
            "terms": self.terms,
            "window": self.window,
            "reach_0_01": self.reach_absolute,
            "reach_1_percent": self.reach_relative,
        }


def context_use(
    network: Network,
    data: Sequences,
    targets: Array,
    *,
    contexts: list[int] | None = None,
    terms: int = TERMS,
    seed: int = 1,
) -> ContextUse:
    """Delta loss of `network` by the number n >= 1 of inputs that it reads, dropout off; at least one loss term.

    Pooled heads: targets (n,) or (n, C) by row; a row is cut to its last n tokens, also in a bidirectional network.
    A loss at each token: targets (tokens,) by place in the data, below 0 not known; at most `terms` places are drawn, and
    for the one at t the tokens t-n+1 .. t are read, in a bidirectional network t-n+1 .. t+n-1.
    `contexts` are the n to measure, by default log-spaced up to the longest row, which costs exactly 0.
    """
    longest = int(data.lengths.max()) if data.n else 0
    wanted = sorted(set(contexts)) if contexts is not None else [n for n in log_spaced_lags(max(longest, 1)) if n > 0]
    if network.spec.each:
        row_K, step_K = _sampled(data, targets, terms, seed)
        inputs_K = step_K + 1
        if network.spec.bidirectional:
            inputs_K = np.maximum(inputs_K, data.lengths[row_K] - step_K)
        full_K = _row_losses(network, data, targets, row_K, step_K)
    else:
        inputs_K = data.lengths
        full_K = _last_losses(network, data, targets, np.arange(data.n))
    delta, error, cut = [], [], []
    for n in wanted:
        chosen = np.flatnonzero(inputs_K > n)  # the others read all that they have
        change_K = np.zeros(full_K.size)
        if chosen.size:
            if network.spec.each:
                short_K = _window_losses(network, data, targets, row_K[chosen], step_K[chosen], n)
            else:
                short_K = _last_losses(network, _last_tokens(data, n), targets, chosen)
            change_K[chosen] = short_K - full_K[chosen]
        delta.append(float(change_K.mean()))
        error.append(float(change_K.std(ddof=1) / np.sqrt(change_K.size)) if change_K.size > 1 else 0.0)
        cut.append(chosen.size / full_K.size)
    both = network.spec.each and network.spec.bidirectional
    return ContextUse(
        np.array(wanted, np.int64), np.array(delta), np.array(error), np.array(cut), float(full_K.mean()),
        int(full_K.size), "squared units" if network.spec.head == "regression" else "nats",
        "n inputs on both sides, the place itself in each" if both else "last n inputs",
    )  # fmt: skip


def _last_tokens(data: Sequences, n: int) -> Sequences:
    """Each row's last n tokens."""
    lengths = np.minimum(data.lengths, n)
    return Sequences(data.starts + data.lengths - lengths, lengths, data.ids, data.features, data.values)


def _last_losses(network: Network, data: Sequences, targets: Array, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Loss of each of the given rows, (K,), of a pooled head."""
    loss_K = np.empty(rows.size)
    chosen = Sequences(data.starts[rows], data.lengths[rows], data.ids, data.features, data.values)
    for some in prediction_batches(chosen.lengths):
        batch = pack(chosen, some)
        loss_K[batch.rows_B] = network.loss(batch, targets[rows[batch.rows_B]])
    return loss_K


def _sampled(data: Sequences, targets: Array, terms: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and step (K,) of up to `terms` places with a known target, drawn without replacement, in their order."""
    row = np.repeat(np.arange(data.n), data.lengths)
    step = np.arange(row.size) - np.repeat(np.cumsum(data.lengths) - data.lengths, data.lengths)
    known = np.flatnonzero(targets[data.starts[row] + step] >= 0)
    order = rng.permutation(rng.key(seed, rng.Stream.LOSS_TERMS), known.size)
    chosen = np.sort(known[order[:terms]])
    return row[chosen], step[chosen]


def _row_losses(
    network: Network, data: Sequences, targets: Array, row_K: NDArray[np.int64], step_K: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Loss (K,) at places of whole rows; each row is read once."""
    rows, at_K = np.unique(row_K, return_inverse=True)
    whole = Sequences(data.starts[rows], data.lengths[rows], data.ids, data.features, data.values)
    return _read_losses(network, whole, targets, at_K.reshape(-1), data.starts[row_K] + step_K)


def _window_losses(
    network: Network, data: Sequences, targets: Array, row_K: NDArray[np.int64], step_K: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Loss (K,) at places of which only the neighbourhood is read; each is a row of its own."""
    begin_K = np.maximum(step_K - n + 1, 0)
    end_K = np.minimum(step_K + n, data.lengths[row_K]) if network.spec.bidirectional else step_K + 1
    starts_K = data.starts[row_K] + begin_K
    parts = Sequences(starts_K, end_K - begin_K, data.ids, data.features, data.values)
    return _read_losses(network, parts, targets, np.arange(row_K.size), data.starts[row_K] + step_K)


def _read_losses(
    network: Network, data: Sequences, targets: Array, row_K: NDArray[np.int64], position_K: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Loss (K,) at the place position_K of the data in row row_K; the head reads these states and no others."""
    loss_K = np.empty(row_K.size)
    local = np.full(data.n, -1, np.int64)  # where each row of the batch begins in `part`
    for rows in prediction_batches(data.lengths):
        part, starts = _laid_out(data, rows)
        local[rows] = starts
        here = np.flatnonzero(local[row_K] >= 0)
        if here.size:
            batch = pack(part, np.arange(rows.size))
            packed = np.empty(batch.position_N.size, np.int64)
            packed[batch.position_N] = np.arange(packed.size)
            x_NI = look_up(network.spec, network.tables, batch, network.dtype)
            h_NO = network.stack.forward(network.dense, x_NI, batch).h_NO
            at = packed[local[row_K[here]] + position_K[here] - data.starts[row_K[here]]]
            for some in range(0, here.size, HEAD_TERMS):
                chosen = slice(some, some + HEAD_TERMS)
                loss_K[here[chosen]] = _head_losses(network, h_NO[at[chosen]], targets[position_K[here[chosen]]])
        local[rows] = -1
    return loss_K


def _laid_out(data: Sequences, rows: NDArray[np.int64]) -> tuple[Sequences, NDArray[np.int64]]:
    """Some rows one after the other in memory of their own, as windows of one row overlap; and where each begins."""
    lengths = data.lengths[rows]
    starts = np.cumsum(lengths) - lengths
    at = np.arange(int(lengths.sum())) + np.repeat(data.starts[rows] - starts, lengths)
    ids, features, values = (None if part is None else part[at] for part in (data.ids, data.features, data.values))
    return Sequences(starts, lengths, ids, features, values), starts


def _head_losses(network: Network, read_KO: Array, targets_K: Array) -> NDArray[np.float64]:
    """Loss (K,) of states that the head reads, each as if it were alone."""
    readout = network.readout
    if network.spec.wide:
        return readout.wide_losses(network.dense, network.tables, read_KO, targets_K).loss_N
    logits_KC = np.empty((read_KO.shape[0], network.spec.outputs), read_KO.dtype)
    weight_OC = np.ascontiguousarray(readout.weight(network.dense, network.tables).T)
    losses.linear(logits_KC, read_KO, weight_OC, network.dense[BIAS])
    return network.losses(logits_KC, targets_K)[0]
