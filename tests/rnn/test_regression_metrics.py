"""Errors of numbers against values worked out by hand."""

import numpy as np
import pytest

from rnncli.rnn.regression_metrics import regression_scores


def test_scores_by_hand():
    true = np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 16.0]])  # column means 3 and 12, squares 8 and 24
    predicted = true + np.array([[1.0, 0.0], [0.0, -2.0], [0.0, 3.0]])
    scores = regression_scores(true, predicted)
    assert (scores.n, scores.outputs) == (3, 2)
    assert scores.mse == pytest.approx(14 / 6)
    assert scores.rmse == pytest.approx((14 / 6) ** 0.5)
    assert scores.mae == pytest.approx(1.0)
    assert scores.r2 == pytest.approx(1 - 14 / 32)
    assert scores.baselines is None


def test_r2_of_the_mean_is_nothing_and_of_the_truth_is_one():
    true = np.random.default_rng(0).normal(5, 2, (50, 3))
    assert regression_scores(true, np.broadcast_to(true.mean(axis=0), true.shape)).r2 == pytest.approx(0.0, abs=1e-12)
    assert regression_scores(true, true).r2 == 1.0
    assert regression_scores(true, true + 9).r2 < 0


def test_r2_is_null_where_the_truth_is_constant_though_its_mean_is_rounded():
    true = np.full((3, 1), 0.1)
    assert true.mean() != 0.1
    assert regression_scores(true, np.zeros((3, 1))).r2 is None
    assert regression_scores(np.array([[2.0, 1.0]]), np.array([[2.0, 2.0]])).r2 is None  # one row


def test_float32_is_summed_in_float64():
    true = np.full((4, 1), 1e8, np.float32)
    assert regression_scores(true, true.astype(np.float64) + 0.25).mae == 0.25


def test_shapes_that_only_broadcast_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        regression_scores(np.zeros((4, 1)), np.zeros(4))
