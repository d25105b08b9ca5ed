"""Nearest words by cosine, exact, and the same for a word whatever it is asked together with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnncli.embeddings.model import EmbeddingModel
from rnncli.kernels.matmul import add_product
from rnncli.results import Neighbor, NeighborsResult

SCORES_AT_ONCE = 1 << 24  # floats: bounds the memory of a batch of queries
WORDS_AT_ONCE = 1 << 13


def nearest(model: EmbeddingModel, words: Sequence[str], k: int = 10) -> list[NeighborsResult]:
    """The `k` words nearest to each of `words`, best first, equal ones by id; the word itself is left out.

    A word that is not in the vocabulary as it stands is looked up in lower case where the corpus was folded.
    """
    rows = [model.row_of(word) for word in words]
    asked = np.array(sorted({row for row in rows if row is not None}), np.int64)
    lists: dict[int, list[Neighbor]] = {}
    at_once = max(1, SCORES_AT_ONCE // max(len(model.vocab), 1))
    for first in range(0, len(asked), at_once):
        batch = asked[first : first + at_once]
        for row, scores_V in zip(batch.tolist(), _scores(model.unit_VE, batch), strict=True):
            scores_V[row] = -np.inf
            lists[row] = [
                Neighbor(model.vocab.tokens[i], float(min(max(scores_V[i], -1.0), 1.0)))
                for i in _best(scores_V, min(k, len(scores_V) - 1))
            ]
    return [
        NeighborsResult(word, row is not None, lists[row] if row is not None else [])
        for word, row in zip(words, rows, strict=True)
    ]


def _scores(unit_VE: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosines (n, V) of the words `rows` (n,) with all. Our own product: BLAS rounds a row by its batch mates."""
    scores = np.zeros((len(rows), len(unit_VE)), np.float32)
    queries = np.ascontiguousarray(unit_VE[rows])
    for first in range(0, len(unit_VE), WORDS_AT_ONCE):
        block = np.ascontiguousarray(unit_VE[first : first + WORDS_AT_ONCE].T)
        part = np.zeros((len(rows), block.shape[1]), np.float32)
        add_product(part, queries, block)
        scores[:, first : first + WORDS_AT_ONCE] = part
    return scores


def _best(scores_V: NDArray[np.float32], k: int) -> list[int]:
    """Ids of the `k` largest scores, largest first, equal ones by id."""
    if k <= 0:
        return []
    limit = np.partition(scores_V, len(scores_V) - k)[len(scores_V) - k]
    candidates = np.flatnonzero(scores_V >= limit)
    order = np.argsort(-scores_V[candidates], kind="stable")[:k]
    chosen: list[int] = candidates[order].tolist()
    return chosen
