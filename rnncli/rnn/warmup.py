"""Compile or load every kernel that training and prediction use."""

import numpy as np

from rnncli import rng
from rnncli.config.rnn import TrainingConfig
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.packing import pack_batch


def warmup() -> None:
    """One training step of every cell, head and optimiser, in float32 (training) and float64 (gradient checks)."""
    lengths = [3, 1, 0]
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    batch = pack_batch(np.arange(4, dtype=np.int32), offsets, np.arange(3))
    for dtype in (np.float32, np.float64):
        for cell, head in (("rnn", "binary"), ("relu", "multiclass")):
            network = Network(NetworkSpec(cell, head, 4, 3, 5, 2, dropout=0.5), dtype)
            network.initialise("uniform", 0)
            gradients = network.gradients(batch, np.zeros(3, np.int32), rng.key(0, rng.Stream.DROPOUT))
            if dtype == np.float32:
                for name in ("adam", "sgd"):
                    Optimiser(TrainingConfig(optimizer=name), network, True).step(network, gradients)
