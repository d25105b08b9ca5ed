"""Compile or load every kernel that word vectors use."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.algorithms import first_tensors, make_run, trained_model
from rnncli.embeddings.query import nearest
from rnncli.embeddings.training import Lines, TrainState, train
from rnncli.events import ignore


def warmup() -> None:
    """Train a few words in every way, and ask for a neighbour."""
    ids = np.array([0, 1, 2, 0, 1, 2, 0, 1], np.int32)
    offsets, counts = np.array([0, 5, 8], np.int64), np.array([3, 3, 2], np.int64)
    vocab = Vocabulary(["a", "b", "c"], counts, has_unknown=False)
    ways: tuple[dict[str, Any], ...] = (
        {},
        {"mode": "hogwild"},
        {"subwords": {"minn": 1, "maxn": 2, "bucket": 9}},
        {"algorithm": "glove"},
    )
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            config = EmbeddingsConfig.model_validate({"corpus": {"paths": ["-"]}, "dim": 4, "epochs": 1} | way)
            tensors = first_tensors(config, len(vocab))
            run = make_run(config, Lines(ids, offsets), vocab, tensors, Path(folder), ignore)
            state = train(run, 1, TrainState(0, tensors), ignore)
    nearest(trained_model(config, vocab, state.tensors), ["a"], 1)
