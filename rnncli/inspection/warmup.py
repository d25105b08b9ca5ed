"""Compile or load the kernels that inspect-gradients uses beside those of training, ahead of any timing."""

import numpy as np

from rnncli.inspection.inspect import Inspector, inspect
from rnncli.inspection.probe import Probe
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences
from rnncli.rnn.spec import NetworkSpec


def warmup() -> None:
    """Walks and exponents of every cell; they are the same kernels for any layers and directions."""
    data = Sequences.of_texts(np.arange(4, dtype=np.int32), np.array([0, 3, 4]))
    for cell in ("rnn", "relu", "lstm", "gru", "gru_before"):
        network = Network(NetworkSpec(cell, "multiclass", 4, 3, 3, 2, pooling="each"))
        network.initialise("uniform", 0)
        inspect(Probe(network, data, np.zeros(4, np.int32), "tagger"), Inspector("standard"))
