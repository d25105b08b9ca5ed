"""Everything that an exact resume of training needs, and its form as tensors and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ArtifactError
from rnncli.rnn.network import Network
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.task import Score


@dataclass
class Kept:
    """One of the best epochs so far and its weights."""

    epoch: int
    rank: tuple[float, ...]
    arrays: dict[str, NDArray[Any]]  # the dense parameters and the tables that training changes


@dataclass
class TrainState:
    """Weights, moments, the best epochs and the rows of history.jsonl. Random numbers need no state (rng.py)."""

    network: Network
    optimiser: Optimiser
    kept: list[Kept] = field(default_factory=list)  # best first
    epoch: int = 0
    tokens: int = 0  # tokens trained on so far
    seconds: float = 0.0  # time in training batches so far
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """0 before the first epoch ended."""
        return self.kept[0].epoch if self.kept else 0

    def consider(self, score: Score, keep: int) -> bool:
        """Keep the weights of this epoch if it is among the `keep` best; whether it is the best (ties: the earlier)."""
        at = sum(score.rank <= kept.rank for kept in self.kept)
        if at < keep:
            arrays = {name: array.copy() for name, array in self._arrays().items()}
            self.kept.insert(at, Kept(self.epoch, score.rank, arrays))
            del self.kept[keep:]
        return at == 0

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"dense": self.network.dense.flat, **self.optimiser.trained_tables(self.network)}

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays of a checkpoint."""
        tensors = {f"optimiser.{name}": values for name, values in self.optimiser.state.items()}
        tensors |= self._arrays()
        return tensors | {
            f"kept.{i}.{name}": array for i, kept in enumerate(self.kept) for name, array in kept.arrays.items()
        }

    def to_meta(self) -> dict[str, Any]:
        """The numbers of a checkpoint."""
        return {
            "epoch": self.epoch,
            "steps": self.optimiser.steps,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "kept": [{"epoch": kept.epoch, "rank": list(kept.rank)} for kept in self.kept],
            "history": self.history,
        }

    def restore(self, tensors: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Take over a checkpoint. Raises ArtifactError when it belongs to a network of another shape."""
        arrays = self._arrays() | {f"optimiser.{name}": values for name, values in self.optimiser.state.items()}
        for name, array in arrays.items():
            if name not in tensors or tensors[name].shape != array.shape:
                raise ArtifactError(f"the checkpoint does not fit this config: {name}; use --force to start afresh")
            array[...] = tensors[name]
        self.epoch, self.optimiser.steps = int(meta["epoch"]), int(meta["steps"])
        self.tokens, self.seconds, self.history = int(meta["tokens"]), float(meta["seconds"]), list(meta["history"])
        self.kept = [
            Kept(
                int(entry["epoch"]),
                tuple(entry["rank"]),
                {name: np.array(tensors[f"kept.{i}.{name}"]) for name in self._arrays()},
            )
            for i, entry in enumerate(meta["kept"])
        ]

    def best_network(self) -> Network:
        """The network with the weights of the best epoch, or the mean of those of all kept epochs."""
        network = Network(self.network.spec, self.network.dtype)
        network.tables = dict(self.network.tables)
        for name in self._arrays():
            mean = self.kept[0].arrays[name]
            if len(self.kept) > 1:  # in float64 and in order of rank: the sum's order is part of the result
                total = np.sum([kept.arrays[name] for kept in self.kept], axis=0, dtype=np.float64)
                mean = (total / len(self.kept)).astype(mean.dtype)
            if name == "dense":
                network.dense.flat[:] = mean
            else:
                network.tables[name] = mean
        return network
