"""Which algorithm a config asks for: its run, the tensors it begins with, and the vectors it ends with."""

from pathlib import Path

import numpy as np

from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings import train_glove, train_word2vec
from rnncli.embeddings.count import Counting, count_cooccurrences
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.subwords import Ngrams, composed, subword_table
from rnncli.embeddings.train_softmax import SoftmaxRun
from rnncli.embeddings.training import Lines, Run, Tensors
from rnncli.errors import CorpusError, RnncliError
from rnncli.events import OnEvent


def first_tensors(config: EmbeddingsConfig, words: int) -> Tensors:
    """What training begins with when nothing is known: two matrices, by the names the algorithm uses."""
    if config.algorithm == "glove":
        return train_glove.initial_tensors(words, config.dim, config.seed)
    ngrams = config.subwords.bucket if config.subwords.maxn else 0
    return train_word2vec.initial_tensors(words, config.dim, config.seed, ngrams)


def make_run(
    config: EmbeddingsConfig, lines: Lines, vocab: Vocabulary, tensors: Tensors, folder: Path, on_event: OnEvent
) -> Run:
    """The run that a config describes, from first_tensors where `tensors` is empty.

    `folder` is for what does not fit in memory. CorpusError when it cannot be, RnncliError when the disk
    fails.
    """
    if config.loss == "softmax":
        return SoftmaxRun(lines, vocab.counts, config, tensors or first_tensors(config, len(vocab)))
    if config.algorithm != "glove":
        tensors = tensors or first_tensors(config, len(vocab))
        table = subword_table(vocab.tokens, config.subwords) if config.subwords.maxn else None
        return train_word2vec.Word2vecRun(lines, vocab.counts, config, tensors, table)
    what = Counting(
        config.window, config.symmetric, config.distance_weighting, config.memory_limit << 20, config.threads
    )
    try:
        matrix = count_cooccurrences(*lines, len(vocab), what, config.seed, folder, on_event)
    except OSError as error:
        raise RnncliError(
            f"cannot write co-occurrences into {folder}: {error.strerror or error}; free some space or set XDG_CACHE_HOME"
        ) from error
    if not matrix.cells:
        raise CorpusError("no two words of the vocabulary stand near each other; give longer lines or more text")
    options = train_glove.GloveOptions(
        config.dim, config.rate, config.x_max, config.alpha, config.valid_fraction, config.seed, config.threads
    )
    # Made when counting is over, which needs the memory itself.
    return train_glove.GloveRun(matrix, options, tensors or first_tensors(config, len(vocab)))


def matrices_of(config: EmbeddingsConfig) -> tuple[str, str]:
    """Names of the tensors of word and context vectors."""
    return ("words", "contexts") if config.algorithm == "glove" else ("inputs", "outputs")


def trained_model(config: EmbeddingsConfig, vocab: Vocabulary, tensors: Tensors) -> EmbeddingModel:
    """The model that trained tensors make; outputs_VE holds the matrix that is not the result."""
    words, contexts = (np.ascontiguousarray(tensors[name][:, : config.dim]) for name in matrices_of(config))
    tokenizer = Tokenizer(config.corpus.tokenizer, config.corpus.lowercase)
    if config.subwords.maxn:
        vectors = composed(words, subword_table(vocab.tokens, config.subwords))
        return EmbeddingModel(vectors, vocab, tokenizer, contexts, Ngrams(config.subwords, words[len(vocab) :]))
    if config.result == "words":
        return EmbeddingModel(words, vocab, tokenizer, contexts)
    if config.result == "contexts":
        return EmbeddingModel(contexts, vocab, tokenizer, words)
    return EmbeddingModel(words + contexts, vocab, tokenizer, contexts)
