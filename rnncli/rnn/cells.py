"""The table of cells: what a recurrence is made of and which kernels run it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rnncli import rng
from rnncli.kernels import rnn_simple
from rnncli.rnn import init


@dataclass(frozen=True)
class Cell:
    """One kind of recurrence. `forward` and `backward` have the signatures of kernels.rnn_simple."""

    name: str
    relu: bool
    forward: Callable[..., None]
    backward: Callable[..., None]

    def shapes(self, i_size: int, h_size: int) -> dict[str, tuple[int, ...]]:
        """Parameter shapes of one layer, in the order the kernels lay them out."""
        return {"weight_ih_l0": (h_size, i_size), "weight_hh_l0": (h_size, h_size), "bias_l0": (h_size,)}

    def cache(self, n: int, h_size: int, dtype: DTypeLike) -> rnn_simple.SimpleCache:
        """Room for what the forward pass keeps of n tokens."""
        return rnn_simple.SimpleCache(*(np.empty((n, h_size), dtype) for _ in range(3)))

    def derivative(self, a_NH: NDArray[Any]) -> NDArray[Any]:
        """g'(a) of every pre-activation; for ReLU the subgradient at 0 is 0."""
        if self.relu:
            return (a_NH > 0).astype(a_NH.dtype)
        z = np.exp(-2.0 * np.abs(a_NH))
        return np.asarray(4.0 * z / (1.0 + z) ** 2)

    def initial(self, how: str, seed: int, i_size: int, h_size: int) -> dict[str, NDArray[Any]]:
        """First values of one layer."""
        return {
            "weight_ih_l0": init.xavier(rng.key(seed, rng.Stream.INIT, part=1), (h_size, i_size)),
            "weight_hh_l0": init.recurrent(how, rng.key(seed, rng.Stream.INIT, part=2), h_size),
            "bias_l0": np.zeros(h_size),
        }


CELLS = {
    "rnn": Cell("rnn", False, rnn_simple.simple_forward, rnn_simple.simple_backward),
    "relu": Cell("relu", True, rnn_simple.simple_forward, rnn_simple.simple_backward),
}
