"""Nearest words by cosine and analogies, exact, and the same for a question whatever it is asked together with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnncli.embeddings.model import EmbeddingModel
from rnncli.kernels.neighbours import BLOCK_UNIT, COS_ADD, COS_MUL, COSINE, NO_ROW, search_rows
from rnncli.results import AnalogyAnswer, AnalogyResult, Neighbor, NeighborsResult

METHODS = {"add": COS_ADD, "mul": COS_MUL}
SHARD_ROWS = 4096  # fewest rows of a shard
MOST_SHARDS = 64
COSINES_AT_ONCE = 1 << 18  # floats of a block of cosines, so that they stay in cache
LARGEST_BLOCK = 1008
KEPT_AT_ONCE = 1 << 22  # scores kept by all shards: bounds the memory of a batch of questions

Found = tuple[NDArray[np.float32], NDArray[np.int64]]


def nearest(model: EmbeddingModel, words: Sequence[str], k: int = 10) -> list[NeighborsResult]:
    """The `k` words nearest to each of `words`, best first, equal ones by id; the word itself is left out.

    A word that is not in the vocabulary as it stands is looked up in lower case where the corpus was folded.
    """
    distinct = list(dict.fromkeys(words))
    unit_NE, found = model.query_vectors(distinct)
    asked = np.flatnonzero(found)
    own = np.array([_row(model, distinct[i]) for i in asked], np.int64)[:, None]
    questions_N3 = np.repeat(np.arange(len(asked))[:, None], 3, axis=1)
    scores_NK, rows_NK = best_rows(model, np.ascontiguousarray(unit_NE[asked]), questions_N3, own, COSINE, k)
    lists = {
        distinct[i]: [Neighbor(model.vocab.tokens[row], score) for score, row in _answers(scores, rows, -1.0, 1.0)]
        for i, scores, rows in zip(asked, scores_NK, rows_NK, strict=True)
    }
    return [NeighborsResult(word, word in lists, lists.get(word, [])) for word in words]


def analogies(
    model: EmbeddingModel, questions: Sequence[tuple[str, str, str]], k: int = 10, method: str = "add"
) -> list[AnalogyResult]:
    """For each (a, b, c) the `k` words d of "a is to b as c is to d", best first, equal ones by id.

    a, b and c are left out. `add` ranks by cos(d, b) - cos(d, a) + cos(d, c) and gives the cosine of d with the sum
    b - a + c of unit vectors, which ranks alike; `mul` ranks by and gives the quotient of shifted cosines,
    (cos(d, b) + 1)/2 (cos(d, c) + 1)/2 / ((cos(d, a) + 1)/2 + 0.001).
    """
    distinct = list(dict.fromkeys(word for question in questions for word in question))
    unit_WE, found = model.query_vectors(distinct)
    at = {word: i for i, word in enumerate(distinct)}
    asked = [question for question in questions if all(found[at[word]] for word in question)]
    questions_N3 = np.array([[at[word] for word in question] for question in asked], np.int64).reshape(-1, 3)
    own_N3 = np.array([[_row(model, word) for word in question] for question in asked], np.int64).reshape(-1, 3)
    scores_NK, rows_NK = best_rows(model, unit_WE, questions_N3, own_N3, METHODS[method], k)
    if method == "add":
        a_NE, b_NE, c_NE = (unit_WE[questions_N3[:, i]].astype(np.float64) for i in range(3))
        lengths = np.linalg.norm(b_NE - a_NE + c_NE, axis=1)
        scores_NK = (scores_NK / np.where(lengths > 0.0, lengths, np.inf)[:, None]).astype(np.float32)
    low, high = (-1.0, 1.0) if method == "add" else (0.0, np.inf)
    answers = iter(
        [
            [AnalogyAnswer(model.vocab.tokens[row], score) for score, row in _answers(scores, rows, low, high)]
            for scores, rows in zip(scores_NK, rows_NK, strict=True)
        ]
    )
    results = []
    for question in questions:
        missing = [word for word in dict.fromkeys(question) if not found[at[word]]]
        results.append(AnalogyResult(list(question), not missing, missing, method, [] if missing else next(answers)))
    return results


def best_rows(
    model: EmbeddingModel,
    queries_WE: NDArray[np.float32],
    questions_N3: NDArray[np.int64],
    excluded_NX: NDArray[np.int64],
    method: int,
    k: int,
) -> Found:
    """Scores and rows (N, K) of the best rows of the model for every question, best first, equal ones by row.

    `questions_N3` names rows of `queries_WE`, `excluded_NX` rows of the model that are no answer (-1: none), `method`
    is one of kernels/neighbours.py. K is `k` or the size of the model; places that nothing is left for have score -inf.
    """
    n, v = len(questions_N3), len(model.vocab)
    k = min(k, v)
    shards = max(1, min(MOST_SHARDS, v // SHARD_ROWS))
    bounds = np.linspace(0, v, shards + 1).astype(np.int64)
    width = min(k, int(np.diff(bounds).max()))
    at_once = max(1, KEPT_AT_ONCE // max(shards * width, 1))
    scores_NK, rows_NK = np.empty((n, k), np.float32), np.empty((n, k), np.int64)
    if k == 0:
        return scores_NK, rows_NK
    for first in range(0, n, at_once):
        part = slice(first, first + at_once)
        used, local = np.unique(questions_N3[part], return_inverse=True)
        few_N3 = np.ascontiguousarray(local.reshape(-1, 3).astype(np.int64))
        block = min(LARGEST_BLOCK, max(BLOCK_UNIT, COSINES_AT_ONCE // len(used) // BLOCK_UNIT * BLOCK_UNIT))
        best_SNK = np.full((shards, len(few_N3), width), -np.inf, np.float32)
        kept_SNK = np.full(best_SNK.shape, NO_ROW, np.int64)
        search_rows(
            best_SNK, kept_SNK, few_N3, np.ascontiguousarray(excluded_NX[part]), np.ascontiguousarray(queries_WE[used]),
            model.contiguous_VE, model.scales_V, bounds, method, block,
        )  # fmt: skip
        scores_NK[part], rows_NK[part] = _merged(best_SNK, kept_SNK, k)
    return scores_NK, rows_NK


def _merged(best_SNK: NDArray[np.float32], kept_SNK: NDArray[np.int64], k: int) -> Found:
    """The best `k` of all shards, in order, (N, k)."""
    shards, n, width = best_SNK.shape
    scores = best_SNK.transpose(1, 0, 2).reshape(n, shards * width)
    rows = kept_SNK.transpose(1, 0, 2).reshape(n, shards * width)
    order = np.lexsort((rows, -scores), axis=-1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def _answers(scores: NDArray[np.float32], rows: NDArray[np.int64], low: float, high: float) -> list[tuple[float, int]]:
    """(score, row) of the places that were filled; rounding must not lead out of low .. high."""
    kept = zip(scores.tolist(), rows.tolist(), strict=True)
    return [(min(max(score, low), high), row) for score, row in kept if row != NO_ROW]


def _row(model: EmbeddingModel, word: str) -> int:
    row = model.row_of(word)
    return -1 if row is None else row
