"""Compile or load every kernel that word vectors use."""

from pathlib import Path

import numpy as np

from rnncli.config.embeddings import CorpusConfig, EmbeddingsConfig
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.query import nearest
from rnncli.embeddings.train_word2vec import train_skipgram
from rnncli.events import ignore


def warmup() -> None:
    """Train a few words in both modes, and ask for a neighbour."""
    ids = np.array([0, 1, 2, 0, 1, 2, 0, 1], np.int32)
    offsets, counts = np.array([0, 5, 8], np.int64), np.array([3, 3, 2], np.int64)
    for mode in ("deterministic", "hogwild"):
        config = EmbeddingsConfig(corpus=CorpusConfig(paths=[Path("-")]), mode=mode, dim=4, epochs=1)
        state = train_skipgram(ids, offsets, counts, config, ignore)
    vocabulary = Vocabulary(["a", "b", "c"], counts, has_unknown=False)
    nearest(EmbeddingModel(state.vectors_VE, vocabulary, Tokenizer("whitespace")), ["a"], 1)
