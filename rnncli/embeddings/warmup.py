"""Compile or load every kernel that word vectors use."""

import tempfile
from pathlib import Path

import numpy as np

from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.algorithms import first_tensors, make_run, result_of
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.query import nearest
from rnncli.embeddings.training import Lines, TrainState, train
from rnncli.events import ignore


def warmup() -> None:
    """Train a few words in every way, and ask for a neighbour."""
    ids = np.array([0, 1, 2, 0, 1, 2, 0, 1], np.int32)
    offsets, counts = np.array([0, 5, 8], np.int64), np.array([3, 3, 2], np.int64)
    ways: tuple[dict[str, str], ...] = ({}, {"mode": "hogwild"}, {"algorithm": "glove"})
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            config = EmbeddingsConfig.model_validate({"corpus": {"paths": ["-"]}, "dim": 4, "epochs": 1} | way)
            tensors = first_tensors(config, len(counts))
            run = make_run(config, Lines(ids, offsets), counts, tensors, Path(folder), ignore)
            state = train(run, 1, TrainState(0, tensors), ignore)
    vectors_VE, _ = result_of(config, state.tensors)
    vocabulary = Vocabulary(["a", "b", "c"], counts, has_unknown=False)
    nearest(EmbeddingModel(vectors_VE, vocabulary, Tokenizer("whitespace")), ["a"], 1)
