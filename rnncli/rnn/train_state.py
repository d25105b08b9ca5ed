"""Everything that an exact resume of training needs, and its form as tensors and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ArtifactError
from rnncli.results import EvalResult
from rnncli.rnn.network import Network
from rnncli.rnn.optimiser import Optimiser


@dataclass
class Best:
    """The best epoch so far and its weights."""

    epoch: int = 0
    accuracy: float = -1.0
    loss: float = float("inf")
    dense_P: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.float32))
    embedding_VE: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def beaten_by(self, result: EvalResult) -> bool:
        """Higher validation accuracy wins, then lower loss."""
        return (result.accuracy, -result.loss) > (self.accuracy, -self.loss)


@dataclass
class TrainState:
    """Weights, moments, the best epoch and the rows of history.jsonl. Random numbers need no state (rng.py)."""

    network: Network
    optimiser: Optimiser
    best: Best = field(default_factory=Best)
    epoch: int = 0
    tokens: int = 0  # tokens trained on so far
    seconds: float = 0.0  # time in training batches so far
    history: list[dict[str, Any]] = field(default_factory=list)

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays of a checkpoint."""
        tensors = {f"optimiser.{name}": values for name, values in self.optimiser.state.items()}
        tensors |= {"dense": self.network.dense.flat, "embedding": self.network.embedding_VE}
        return tensors | {"best.dense": self.best.dense_P, "best.embedding": self.best.embedding_VE}

    def to_meta(self) -> dict[str, Any]:
        """The numbers of a checkpoint."""
        best = {"epoch": self.best.epoch, "accuracy": self.best.accuracy, "loss": self.best.loss}
        return {
            "epoch": self.epoch,
            "steps": self.optimiser.steps,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "best": best,
            "history": self.history,
        }

    def restore(self, tensors: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Take over a checkpoint. Raises ArtifactError when it belongs to a network of another shape."""
        arrays = {"dense": self.network.dense.flat, "embedding": self.network.embedding_VE}
        arrays |= {f"optimiser.{name}": values for name, values in self.optimiser.state.items()}
        for name, array in arrays.items():
            if name not in tensors or tensors[name].shape != array.shape:
                raise ArtifactError(f"the checkpoint does not fit this config: {name}; use --force to start afresh")
            array[:] = tensors[name]
        self.epoch, self.optimiser.steps = int(meta["epoch"]), int(meta["steps"])
        self.tokens, self.seconds, self.history = int(meta["tokens"]), float(meta["seconds"]), list(meta["history"])
        self.best = Best(
            **meta["best"], dense_P=np.array(tensors["best.dense"]), embedding_VE=np.array(tensors["best.embedding"])
        )

    def best_network(self) -> Network:
        """The network with the weights of the best epoch."""
        network = Network(self.network.spec, self.network.dtype)
        network.dense.flat[:] = self.best.dense_P
        network.embedding_VE = self.best.embedding_VE
        return network
