"""One update of a network from one batch's gradients: clipping, then the rule."""

from dataclasses import dataclass
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
    for part in (gradients.dense_P, gradients.embedding_UE.reshape(-1)):
        sums = np.empty(-(-part.size // optim.CHUNK), np.float64)
        optim.square_sums(sums, part)
        total += float(sums.sum())
    return float(np.sqrt(total))


class Optimiser:
    """The update rule and its moments; `state` is all that an exact resume needs beside the weights.

    Embedding rows are updated where a batch touches them; a row's moments wait while it is not touched.
    For plain SGD this equals the dense rule, for momentum and Adam it is the sparse variant.
    """

    def __init__(self, config: TrainingConfig, network: Network, train_embedding: bool) -> None:
        self.config = config
        self.train_embedding = train_embedding
        self.rule = RULES[config.optimizer]
        kept = [name for name, there in (("m", self.rule.first), ("v", self.rule.second)) if there]
        self.state: dict[str, NDArray[Any]] = {}
        for name in kept:
            self.state[f"dense.{name}"] = np.zeros_like(network.dense.flat)
            if train_embedding:
                self.state[f"embedding.{name}"] = np.zeros_like(network.embedding_VE)
        self.steps = 0

    def step(self, network: Network, gradients: Gradients, lr_factor: float = 1.0) -> float:
        """Update the network in place; returns the global norm before clipping (NaN or inf: nothing was changed)."""
        if not self.train_embedding:
            gradients = Gradients(gradients.loss_B, gradients.dense_P, gradients.embedding_UE[:0], gradients.rows_U[:0])
        norm = global_norm(gradients)
        if not np.isfinite(norm):
            return norm
        self.steps += 1
        clipped = norm
        if self.config.clip_value > 0:
            limit = network.real(self.config.clip_value)
            optim.clip_values(gradients.dense_P, limit)
            optim.clip_values(gradients.embedding_UE.reshape(-1), limit)
            clipped = global_norm(gradients)
        clip = self.config.clip_norm
        k = self._constants(self.config.lr * lr_factor, clip / clipped if 0.0 < clip < clipped else 1.0, network.dtype)
        none_P, none_VE = network.dense.flat[:0], network.embedding_VE[:0]
        m, v = (self.state.get(f"dense.{name}", none_P) for name in ("m", "v"))
        optim.update(self.rule.code, network.dense.flat, m, v, gradients.dense_P, k)
        if self.train_embedding:
            m, v = (self.state.get(f"embedding.{name}", none_VE) for name in ("m", "v"))
            rows = (gradients.embedding_UE, gradients.rows_U)
            optim.update_rows(self.rule.code, network.embedding_VE, m, v, *rows, k)
        return norm

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
