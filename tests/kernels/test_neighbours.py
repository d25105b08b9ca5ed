"""The search for the best rows: equal to brute force, and the same bits whatever the company, the shards or the block."""

import numpy as np
import pytest

from rnncli.kernels.neighbours import BLOCK_UNIT, COS_ADD, COS_MUL, COSINE, NO_ROW, inverse_norms, search_rows


def unit(rows):
    rows = rows.astype(np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def search(rows_VE, queries_WE, questions, excluded, method, k, shards=1, block=BLOCK_UNIT):
    """Scores and rows (N, k), best first."""
    scales = np.empty(len(rows_VE), np.float32)
    inverse_norms(scales, rows_VE)
    questions, excluded = np.asarray(questions, np.int64), np.asarray(excluded, np.int64)
    best = np.full((shards, len(questions), k), -np.inf, np.float32)
    kept = np.full(best.shape, NO_ROW, np.int64)
    bounds = np.linspace(0, len(rows_VE), shards + 1).astype(np.int64)
    search_rows(best, kept, questions, excluded, queries_WE, rows_VE, scales, bounds, method, block)
    best, kept = (a.transpose(1, 0, 2).reshape(len(questions), -1) for a in (best, kept))
    order = np.lexsort((kept, -best), axis=-1)[:, :k]
    return np.take_along_axis(best, order, 1), np.take_along_axis(kept, order, 1)


@pytest.mark.parametrize("dim", [1, 3, 15, 16, 17, 40])
@pytest.mark.parametrize("method", [COSINE, COS_ADD, COS_MUL])
def test_the_best_rows_are_those_of_brute_force(dim, method):
    rng = np.random.default_rng(dim)
    rows = rng.normal(size=(131, dim)).astype(np.float32)
    queries = unit(rng.normal(size=(6, dim)))
    questions = rng.integers(0, 6, (5, 3))
    excluded = rng.integers(-1, 131, (5, 2))
    scores, found = search(rows, queries, questions, excluded, method, 4, shards=2)
    cosines = unit(rows).astype(np.float64) @ queries.T.astype(np.float64)
    for i, (a, b, c) in enumerate(questions):
        x, y, z = cosines[:, a], cosines[:, b], cosines[:, c]
        mul = (y + 1) / 2 * (z + 1) / 2 / ((x + 1) / 2 + 0.001)
        expected = {COSINE: y, COS_ADD: y - x + z, COS_MUL: mul}[method].copy()
        expected[excluded[i][excluded[i] >= 0]] = -np.inf
        # A shifted cosine that ought to be 0 may be 3e-8, and is divided by 0.001.
        atol = 1e-4 if method == COS_MUL else 1e-6
        np.testing.assert_allclose(scores[i], np.sort(expected)[::-1][:4], rtol=2e-4, atol=atol)
        if dim > 1:
            np.testing.assert_array_equal(found[i], np.argsort(-expected)[:4])


@pytest.mark.parametrize("dim", [5, 16, 50])
def test_an_answer_has_the_same_bits_in_any_company_shard_and_block(dim):
    rng = np.random.default_rng(dim)
    rows = rng.normal(size=(401, dim)).astype(np.float32)
    queries = unit(rows[:11])
    questions = np.repeat(np.arange(11)[:, None], 3, axis=1)
    excluded = np.arange(11)[:, None]
    together = search(rows, queries, questions, excluded, COSINE, 7)
    for shards, block in ((1, 96), (3, 48), (5, 1008)):
        other = search(rows, queries, questions, excluded, COSINE, 7, shards, block)
        np.testing.assert_array_equal(other[0].view(np.int32), together[0].view(np.int32))
        np.testing.assert_array_equal(other[1], together[1])
    for i in range(11):
        alone = search(rows, queries[i : i + 1], [[0, 0, 0]], [[i]], COSINE, 7)
        np.testing.assert_array_equal(alone[0][0].view(np.int32), together[0][i].view(np.int32))
        np.testing.assert_array_equal(alone[1][0], together[1][i])


def test_equal_scores_keep_the_first_rows():
    rows = np.tile(np.array([[2.0, 0.0], [0.0, 1.0]], np.float32), (60, 1))
    _, found = search(rows, np.array([[1.0, 0.0]], np.float32), [[0, 0, 0]], [[4]], COSINE, 5, shards=3)
    assert found.tolist() == [[0, 2, 6, 8, 10]]


def test_rows_of_zeros_and_of_nan():
    rows = np.array([[0, 0], [1, 1], [np.nan, 1], [-1, 0]], np.float32)
    scores, found = search(rows, np.array([[1.0, 0.0]], np.float32), [[0, 0, 0]], [[-1]], COSINE, 4)
    assert found.tolist() == [[1, 0, 3, NO_ROW]]
    np.testing.assert_allclose(scores[0], [0.5**0.5, 0.0, -1.0, -np.inf])
