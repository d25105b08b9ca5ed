"""Compile or load the kernels that training and prediction use, ahead of any timing."""

from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from rnncli import rng
from rnncli.config.rnn import TrainingConfig
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.packing import pack_batch


def prepare(spec: NetworkSpec, config: TrainingConfig, dtype: DTypeLike = np.float32) -> None:
    """One training step of a tiny network of this kind: afterwards its kernels are in memory."""
    offsets = np.array([0, 3, 4, 4], np.int64)
    batch = pack_batch(np.arange(4, dtype=np.int32), offsets, np.arange(3))
    tiny = replace(spec, vocabulary=4, embedding_dim=3, hidden_size=5, classes=2, layers=min(spec.layers, 2))
    network = Network(tiny, dtype)
    network.initialise("uniform", 0)
    gradients = network.gradients(batch, np.zeros(3, np.int32), rng.key(0, rng.Stream.DROPOUT))
    Optimiser(config, network, True).step(network, gradients)


def warmup() -> None:
    """Every cell, head, pooling and optimiser, in float32 (training) and float64 (gradient checks, inspection)."""
    ways = (
        ("rnn", "binary", "adam", "last", False),
        ("relu", "multiclass", "sgd", "max", False),
        ("lstm", "binary", "adam", "attention", True),
        ("gru", "binary", "adam", "mean", True),
    )
    for dtype in (np.float32, np.float64):
        for cell, head, optimizer, pooling, bidirectional in ways:
            spec = NetworkSpec(cell, head, 4, 3, 5, 2, 0.5, 2, bidirectional, pooling)
            prepare(spec, TrainingConfig.model_validate({"optimizer": optimizer}), dtype)
