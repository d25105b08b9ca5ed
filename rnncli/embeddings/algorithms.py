"""Which algorithm a config asks for: its run, the tensors it begins with, and the vectors it ends with."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.embeddings import train_glove, train_word2vec
from rnncli.embeddings.count import Counting, count_cooccurrences
from rnncli.embeddings.training import Lines, Run, Tensors
from rnncli.errors import CorpusError
from rnncli.events import OnEvent

Floats = NDArray[np.float32]


def first_tensors(config: EmbeddingsConfig, words: int) -> Tensors:
    """What training begins with when nothing is known: two matrices, by the names the algorithm uses."""
    if config.algorithm == "glove":
        return train_glove.initial_tensors(words, config.dim, config.seed)
    return train_word2vec.initial_tensors(words, config.dim, config.seed)


def make_run(
    config: EmbeddingsConfig, lines: Lines, counts: NDArray[np.int64], tensors: Tensors, folder: Path, on_event: OnEvent
) -> Run:
    """The run that a config describes; `folder` is for what does not fit in memory. CorpusError when it cannot be."""
    if config.algorithm != "glove":
        return train_word2vec.Word2vecRun(lines, counts, config, tensors)
    what = Counting(
        config.window, config.symmetric, config.distance_weighting, config.memory_limit << 20, config.threads
    )
    matrix = count_cooccurrences(*lines, len(counts), what, config.seed, folder, on_event)
    if not matrix.cells:
        raise CorpusError("no two words of the vocabulary stand near each other; give longer lines or more text")
    options = train_glove.GloveOptions(
        config.dim, config.rate, config.x_max, config.alpha, config.valid_fraction, config.seed, config.threads
    )
    return train_glove.GloveRun(matrix, options, tensors)


def result_of(config: EmbeddingsConfig, tensors: Tensors) -> tuple[Floats, Floats]:
    """(the vectors that are the result, the other ones), (V, d) each."""
    names = ("words", "contexts") if config.algorithm == "glove" else ("inputs", "outputs")
    words, contexts = (np.ascontiguousarray(tensors[name][:, : config.dim]) for name in names)
    if config.result == "words":
        return words, contexts
    return (contexts, words) if config.result == "contexts" else (words + contexts, contexts)
