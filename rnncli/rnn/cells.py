"""The table of cells: what a recurrence is made of, how it begins, and which kernels run it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rnncli import rng
from rnncli.kernels import rnn_gru, rnn_lstm, rnn_simple
from rnncli.rnn import init

CHRONO_PART = 90  # which draws of a layer's hidden key are the clocks' biases


@dataclass(frozen=True)
class Cell:
    """One kind of recurrence. `forward` and `backward` have the signatures of kernels.rnn_simple.

    Gates lie one after the other in the rows of the weights, in torch's order.
    """

    name: str
    gates: int
    forward: Callable[..., None]
    backward: Callable[..., None]
    cache_type: Callable[..., Any]
    kept: tuple[int, ...]  # widths of the cache's arrays with a row a token, in units of H; pre-activations first
    variant: bool = False  # the kernels' last argument
    states: int = 1  # vectors of H that go from step to step: the LSTM's are h and c
    own_n_bias: bool = False  # GRU: the bias inside the reset gate's reach stays apart

    @property
    def relu(self) -> bool:
        """Whether the activation has a corner."""
        return self.name == "relu"

    def shapes(self, suffix: str, i_size: int, h_size: int) -> dict[str, tuple[int, ...]]:
        """Parameter shapes of one layer and direction, in the order the kernels lay them out."""
        rows = self.gates * h_size
        shapes: dict[str, tuple[int, ...]] = {
            f"weight_ih_{suffix}": (rows, i_size),
            f"weight_hh_{suffix}": (rows, h_size),
            f"bias_{suffix}": (rows,),
        }
        return shapes | ({f"bias_hn_{suffix}": (h_size,)} if self.own_n_bias else {})

    def cache(self, n: int, b: int, h_size: int, dtype: DTypeLike, keep: bool = True) -> Any:
        """Room for what the forward pass keeps of n tokens of b rows; without `keep` for what later layers read."""
        sizes = [n if keep else 0, *[n] * (len(self.kept) - 1)]
        kept = [np.empty((size, width * h_size), dtype) for size, width in zip(sizes, self.kept, strict=True)]
        return self.cache_type(*kept, *(np.empty((b, h_size), dtype) for _ in range(self.states)))

    def states_at(self, cache: Any, at_B: NDArray[np.int64]) -> NDArray[Any]:
        """What the step after the packed tokens at_B (B,) reads, (B, states H); zeros where at_B is -1."""
        there = at_B[:, None] >= 0
        kept = [cache.h_NH, cache.c_NH] if self.states == 2 else [cache.h_NH]
        if not len(cache.h_NH):
            return np.zeros((at_B.size, self.states * cache.h_NH.shape[1]), cache.h_NH.dtype)
        return np.concatenate([np.where(there, state[at_B], cache.h_NH.dtype.type(0)) for state in kept], axis=1)

    def derivative(self, a_NH: NDArray[Any]) -> NDArray[Any]:
        """g'(a) of every pre-activation of a plain cell; for ReLU the subgradient at 0 is 0."""
        if self.relu:
            return (a_NH > 0).astype(a_NH.dtype)
        z = np.exp(-2.0 * np.abs(a_NH))
        return np.asarray(4.0 * z / (1.0 + z) ** 2)

    def initial(
        self, suffix: str, start: init.Start, seed: int, part: int, i_size: int, h_size: int
    ) -> dict[str, NDArray[Any]]:
        """First values of one layer and direction, every gate by itself; `part` and the next number name its draws."""
        in_key, hidden_key = (rng.key(seed, rng.Stream.INIT, part=p) for p in (part, part + 1))
        gates = range(self.gates)

        def own(key: np.uint64, gate: int) -> np.uint64:
            return key if gate == 0 else rng.key(int(key), rng.Stream.INIT, part=gate)

        values: dict[str, NDArray[Any]] = {
            f"weight_ih_{suffix}": np.concatenate([init.xavier(own(in_key, g), (h_size, i_size)) for g in gates]),
            f"weight_hh_{suffix}": np.concatenate(
                [init.recurrent(start.how, own(hidden_key, g), h_size) for g in gates]
            ),
            f"bias_{suffix}": np.zeros(self.gates * h_size),
        }
        bias = values[f"bias_{suffix}"]
        clocks = None if start.chrono is None else init.chrono(own(hidden_key, CHRONO_PART), h_size, start.chrono)
        if self.name == "lstm":
            bias[h_size : 2 * h_size] = start.forget_bias if clocks is None else clocks
            bias[:h_size] = 0.0 if clocks is None else -clocks
        elif self.own_n_bias and clocks is not None:
            bias[h_size : 2 * h_size] = clocks
        if self.own_n_bias:
            values[f"bias_hn_{suffix}"] = np.zeros(h_size)
        return values


def _simple(name: str, relu: bool) -> Cell:
    return Cell(
        name, 1, rnn_simple.simple_forward, rnn_simple.simple_backward, rnn_simple.SimpleCache, (1, 1), variant=relu
    )


def _gru(name: str, before: bool) -> Cell:
    return Cell(
        name, 3, rnn_gru.gru_forward, rnn_gru.gru_backward, rnn_gru.GruCache, (3, 1, 1), before, own_n_bias=True
    )


CELLS = {
    "rnn": _simple("rnn", relu=False),
    "relu": _simple("relu", relu=True),
    "lstm": Cell("lstm", 4, rnn_lstm.lstm_forward, rnn_lstm.lstm_backward, rnn_lstm.LstmCache, (4, 1, 1), states=2),
    "gru": _gru("gru", before=False),
    "gru_before": _gru("gru_before", before=True),
}


class LayerPlace(NamedTuple):
    """One layer and direction of a stack."""

    layer: int
    reverse: bool

    @property
    def suffix(self) -> str:
        """As in torch's names: l0, l0_reverse, l1, ..."""
        return f"l{self.layer}" + ("_reverse" if self.reverse else "")
