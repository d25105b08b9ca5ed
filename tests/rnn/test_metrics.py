"""Scores against counts done by hand."""

import numpy as np
import pytest

from rnncli.rnn.metrics import confusion_matrix, evaluate


def test_scores_of_a_small_case_done_by_hand():
    true = np.array([0, 0, 0, 1, 1, 2], np.int32)
    predicted = np.array([0, 0, 1, 1, 2, 2])
    result = evaluate(true, predicted, np.full(6, 0.5), ["a", "b", "c"])
    assert result.confusion == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert result.accuracy == pytest.approx(4 / 6)
    a, b, c = result.per_class
    assert (a.precision, a.recall, a.support) == (1.0, pytest.approx(2 / 3), 3)
    assert (b.precision, b.recall, b.f1) == (0.5, 0.5, 0.5)
    assert (c.precision, c.recall, c.f1) == (0.5, 1.0, pytest.approx(2 / 3))
    assert result.macro_f1 == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert result.weighted.f1 == pytest.approx((0.8 * 3 + 0.5 * 2 + 2 / 3) / 6)
    assert result.micro.f1 == result.accuracy
    assert result.loss == 0.5


def test_a_class_without_rows_or_predictions_does_not_drag_the_macro_average():
    result = evaluate(np.array([0, 1], np.int32), np.array([0, 1]), np.zeros(2), ["a", "b", "never"])
    assert result.macro_f1 == 1.0
    assert result.per_class[2].f1 == 0.0


def test_rows_of_the_confusion_matrix_are_true_labels():
    matrix = confusion_matrix(np.array([0, 0], np.int32), np.array([1, 1]), 2)
    assert matrix.tolist() == [[0, 2], [0, 0]]
