"""One update of a network from one batch's gradients: clipping by global norm, then SGD or Adam."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.rnn import TrainingConfig
from rnncli.kernels import optim
from rnncli.rnn.network import Gradients, Network

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Kingma & Ba 2015, section 2


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
        names = ["velocity"] if config.optimizer == "sgd" else ["m", "v"]
        self.state: dict[str, NDArray[Any]] = {}
        for name in names:
            self.state[f"dense.{name}"] = np.zeros_like(network.dense.flat)
            if train_embedding:
                self.state[f"embedding.{name}"] = np.zeros_like(network.embedding_VE)
        self.steps = 0

    def step(self, network: Network, gradients: Gradients) -> float:
        """Update the network in place; returns the global norm before clipping (NaN or inf: nothing was changed)."""
        if not self.train_embedding:
            gradients = Gradients(gradients.loss_B, gradients.dense_P, gradients.embedding_UE[:0], gradients.rows_U[:0])
        norm = global_norm(gradients)
        if not np.isfinite(norm):
            return norm
        self.steps += 1
        clip = self.config.clip_norm
        scale = clip / norm if 0.0 < clip < norm else 1.0
        if self.config.optimizer == "sgd":
            self._sgd(network, gradients, scale)
        else:
            self._adam(network, gradients, scale)
        return norm

    def _sgd(self, network: Network, gradients: Gradients, scale: float) -> None:
        cfg, real = self.config, network.real
        lr, momentum = real(cfg.lr), real(cfg.momentum)
        optim.sgd_step(
            network.dense.flat, self.state["dense.velocity"], gradients.dense_P,
            lr, momentum, real(cfg.weight_decay), real(scale),
        )  # fmt: skip
        if self.train_embedding:
            optim.sgd_rows(
                network.embedding_VE, self.state["embedding.velocity"], gradients.embedding_UE, gradients.rows_U,
                lr, momentum, real(scale),
            )  # fmt: skip

    def _adam(self, network: Network, gradients: Gradients, scale: float) -> None:
        cfg, real = self.config, network.real
        unbias = float(np.sqrt(1.0 - BETA2**self.steps))
        step, epsilon = real(cfg.lr * unbias / (1.0 - BETA1**self.steps)), real(EPSILON * unbias)
        b1, b2 = real(BETA1), real(BETA2)
        optim.adam_step(
            network.dense.flat, self.state["dense.m"], self.state["dense.v"], gradients.dense_P,
            step, b1, b2, epsilon, real(cfg.weight_decay), real(scale),
        )  # fmt: skip
        if self.train_embedding:
            optim.adam_rows(
                network.embedding_VE, self.state["embedding.m"], self.state["embedding.v"], gradients.embedding_UE,
                gradients.rows_U, step, b1, b2, epsilon, real(scale),
            )  # fmt: skip
