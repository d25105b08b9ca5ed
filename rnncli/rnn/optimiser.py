"""One update of a network from one batch's gradients: clipping, then the rule."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.rnn import TrainingConfig
from rnncli.kernels import optim
from rnncli.rnn.network import Gradients, Network

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Kingma & Ba 2015, section 2
RMSPROP_DECAY = 0.99  # as torch; Tieleman & Hinton have 0.9
ADAGRAD_EPSILON = 1e-10


@dataclass(frozen=True)
class Rule:
    """One update rule: its kernel, and which running sums it keeps."""

    code: int
    first: bool  # m, or the velocity
    second: bool  # v


RULES = {
    "sgd": Rule(optim.SGD, True, False),
    "adagrad": Rule(optim.ADAGRAD, False, True),
    "rmsprop": Rule(optim.RMSPROP, True, True),
    "adam": Rule(optim.ADAM, True, True),
    "adamw": Rule(optim.ADAM, True, True),
}


def global_norm(gradients: Gradients) -> float:
    """Euclidean norm of all gradients of a batch; float64, the same at any thread count."""
    total = 0.0
    for part in _parts(gradients):
        sums = np.empty(-(-part.size // optim.CHUNK), np.float64)
        optim.square_sums(sums, part)
        total += float(sums.sum())
    return float(np.sqrt(total))


def _parts(gradients: Gradients) -> list[NDArray[Any]]:
    """Every gradient as a flat vector, in one order."""
    sparse = [rows.values_UE.reshape(-1) for _, rows in sorted(gradients.sparse.items())]
    return [gradients.dense_P, *sparse, *(whole.reshape(-1) for _, whole in sorted(gradients.full.items()))]


class Optimiser:
    """The update rule and its moments; `state` is all that an exact resume needs beside the weights.

    Rows of a table that only some tokens touch are updated where a batch touches them; a row's moments wait while it is
    not touched. For plain SGD this equals the dense rule, for momentum and Adam it is the sparse variant.
    """

    def __init__(self, config: TrainingConfig, network: Network, train_embedding: bool) -> None:
        self.config = config
        self.frozen = set() if train_embedding or network.spec.tied else {"embedding"}
        self.rule = RULES[config.optimizer]
        kept = [name for name, there in (("m", self.rule.first), ("v", self.rule.second)) if there]
        arrays = {"dense": network.dense.flat, **self.trained_tables(network)}
        self.state: dict[str, NDArray[Any]] = {
            f"{name}.{moment}": np.zeros_like(array) for name, array in arrays.items() for moment in kept
        }
        self.steps = 0

    def trained_tables(self, network: Network) -> dict[str, NDArray[Any]]:
        """The tables that training changes."""
        return {name: table for name, table in network.tables.items() if name not in self.frozen}

    def step(self, network: Network, gradients: Gradients, lr_factor: float = 1.0) -> float:
        """Update the network in place; returns the global norm before clipping (NaN or inf: nothing was changed)."""
        if self.frozen & gradients.sparse.keys():
            kept = {name: rows for name, rows in gradients.sparse.items() if name not in self.frozen}
            gradients = replace(gradients, sparse=kept)
        norm = global_norm(gradients)
        if not np.isfinite(norm):
            return norm
        self.steps += 1
        clipped = norm
        if self.config.clip_value > 0:
            for part in _parts(gradients):
                optim.clip_values(part, network.real(self.config.clip_value))
            clipped = global_norm(gradients)
        clip = self.config.clip_norm
        k = self._constants(self.config.lr * lr_factor, clip / clipped if 0.0 < clip < clipped else 1.0, network.dtype)
        optim.update(
            self.rule.code, network.dense.flat, *self._moments("dense", network.dense.flat), gradients.dense_P, k
        )
        for name, whole in gradients.full.items():
            table = network.tables[name]
            moments = (moment.reshape(-1) for moment in self._moments(name, table))
            optim.update(self.rule.code, table.reshape(-1), *moments, whole.reshape(-1), k)
        for name, rows in gradients.sparse.items():
            table = network.tables[name]
            optim.update_rows(self.rule.code, table, *self._moments(name, table), rows.values_UE, rows.rows_U, k)
        return norm

    def _moments(self, name: str, array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """m and v of an array, empty where the rule has none."""
        m, v = (self.state.get(f"{name}.{moment}", array[:0]) for moment in ("m", "v"))
        return m, v

    def _constants(self, lr: float, scale: float, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The constants of kernels.optim.update in its order, (8,)."""
        c, name = self.config, self.config.optimizer
        rate, epsilon = lr, EPSILON
        if name in ("adam", "adamw"):
            unbias = float(np.sqrt(1.0 - BETA2**self.steps))
            rate, epsilon = lr * unbias / (1.0 - BETA1**self.steps), EPSILON * unbias
        elif name == "adagrad":
            epsilon = ADAGRAD_EPSILON
        decay, shrink = (0.0, lr * c.weight_decay) if name == "adamw" else (c.weight_decay, 0.0)
        beta2 = RMSPROP_DECAY if name == "rmsprop" else BETA2
        return np.array([rate, decay, shrink, scale, c.momentum, BETA1, beta2, epsilon], dtype)
