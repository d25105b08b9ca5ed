"""Going on from vectors that exist: old rows are kept, the words of a new corpus are added, and what moved is told."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.algorithms import first_tensors, matrices_of
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.training import Tensors
from rnncli.errors import UsageError
from rnncli.results import InitReport


@dataclass(frozen=True, eq=False)
class Continuation:
    """Old vectors in their places among the new ones."""

    old: EmbeddingModel
    vocab: Vocabulary  # the words of the corpus, then the old ones it lacks
    rows: NDArray[np.int64]  # (old words,) where each stands in `vocab`
    tensors: Tensors  # what training begins with

    def report(self, vectors_VE: NDArray[np.float32]) -> InitReport:
        """What became of the old vectors, given the new ones (V, d)."""
        after = vectors_VE[self.rows].astype(np.float64)
        before = self.old.vectors_VE.astype(np.float64)
        moved = (vectors_VE[self.rows] != self.old.vectors_VE).any(axis=1)
        norms = np.linalg.norm(after, axis=1) * np.linalg.norm(before, axis=1)
        cosines = np.divide((after * before).sum(axis=1), norms, out=np.ones(len(norms)), where=norms > 0)
        mean = float(cosines[moved].mean()) if moved.any() else 1.0
        return InitReport(len(self.rows), len(self.vocab) - len(self.rows), int(moved.sum()), mean)


def continued(config: EmbeddingsConfig, vocab: Vocabulary, old: EmbeddingModel) -> Continuation:
    """Place the vectors of `old` among those of the corpus' words; words it lacks begin as in any other run.

    The other matrix begins with that of `old` where it has one, n-grams likewise if they are cut in the same way. When
    the result is the sum of both, half a vector each is taken where there is no other. UsageError when the dimensions
    differ.
    """
    if old.dim != config.dim:
        raise UsageError(f"--init-from: its vectors have {old.dim} dimensions, dim is {config.dim}; set dim={old.dim}")
    vocab = vocab.extended(old.vocab.tokens)
    rows = np.array([vocab.ids[token] for token in old.vocab.tokens], np.int64)
    tensors = first_tensors(config, len(vocab))
    main, other = matrices_of(config)
    vectors, others = old.vectors_VE, old.outputs_VE
    if config.result == "sum":
        others = vectors / np.float32(2.0) if others is None else others
        vectors = vectors - others
    elif config.result == "contexts":
        main, other = other, main
    elif config.subwords.maxn and old.ngrams is not None and old.ngrams.config == config.subwords:
        tensors[main][len(vocab) :] = old.ngrams.vectors_BE
        vectors = old.ngrams.word_rows(old.vocab.tokens, vectors)
    tensors[main][rows, : config.dim] = vectors
    if others is not None:
        tensors[other][rows, : config.dim] = others
    return Continuation(old, vocab, rows, tensors)
