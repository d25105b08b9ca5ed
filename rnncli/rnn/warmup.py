"""Compile or load the kernels that training and prediction use, ahead of any timing."""

from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from rnncli import rng
from rnncli.config.rnn import TrainingConfig
from rnncli.rnn.network import Network
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.packing import Sequences, pack
from rnncli.rnn.spec import WIDE, NetworkSpec


def prepare(spec: NetworkSpec, config: TrainingConfig, dtype: DTypeLike = np.float32) -> None:
    """One training step of a tiny network of this kind: afterwards its kernels are in memory."""
    network = Network(_tiny(spec), dtype)
    network.initialise("uniform", 0)
    features = np.zeros((4, spec.features), np.int32) if spec.features else None
    values = np.zeros((4, spec.inputs), np.float32) if spec.inputs else None
    data = Sequences(np.array([0, 3, 4]), np.array([3, 1, 0]), np.arange(4, dtype=np.int32), features, values)
    batch = pack(data, np.arange(3))
    terms = 4 if spec.each else 3
    targets = np.zeros(terms, np.int32)
    if spec.head in ("multilabel", "regression"):
        targets = np.zeros((terms, network.spec.outputs), np.float32)
    gradients = network.gradients(batch, targets, rng.key(0, rng.Stream.DROPOUT))
    Optimiser(config, network, True).step(network, gradients)


def _tiny(spec: NetworkSpec) -> NetworkSpec:
    """The same equations in small."""
    classes = WIDE + 1 if spec.wide and not spec.tied else 4 if spec.tied else 2
    width = 3
    return replace(
        spec, vocabulary=4, embedding_dim=width, hidden_size=width if spec.tied else 5, classes=classes,
        layers=min(spec.layers, 2), feature_rows=1 if spec.features else 0, feature_dim=2,
    )  # fmt: skip


def warmup() -> None:
    """Every cell, head, pooling and optimiser, in float32 (training) and float64 (gradient checks, inspection)."""
    base = NetworkSpec("rnn", "binary", 4, 3, 5, 2, 0.5, 2)
    ways = (
        (base, "adam"),
        (replace(base, cell="relu", head="multiclass", pooling="max"), "sgd"),
        (replace(base, cell="lstm", pooling="attention", bidirectional=True), "adam"),
        (replace(base, cell="gru", pooling="mean", bidirectional=True, features=1), "adam"),
        (replace(base, cell="lstm", head="multiclass", pooling="each", bidirectional=True, features=1), "adam"),
        (replace(base, cell="gru", head="multiclass", pooling="each", tied=True), "sgd"),
        (replace(base, cell="lstm", head="multilabel"), "rmsprop"),
        (replace(base, cell="lstm", head="regression", inputs=2), "adagrad"),
    )
    for dtype in (np.float32, np.float64):
        for spec, optimizer in ways:
            prepare(spec, TrainingConfig.model_validate({"optimizer": optimizer}), dtype)
