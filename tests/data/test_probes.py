"""The synthetic tasks: what is drawn, what is wanted, and that a row is a pure function of its number."""

import numpy as np
import pytest

from rnncli.data.probes import adding, copy_memory, recall


def test_adding():
    rows = adding(3, 4000, 11)
    x = rows.values.reshape(4000, 11, 2)
    marks = x[:, :, 1]
    assert set(np.unique(marks)) == {0.0, 1.0}
    assert (marks[:, :5].sum(axis=1) == 1).all()
    assert (marks[:, 5:].sum(axis=1) == 1).all()
    np.testing.assert_allclose(rows.targets[:, 0], (x[:, :, 0] * marks).sum(axis=1), rtol=1e-6)
    squared = (rows.targets.astype(np.float64) - 1.0) ** 2
    assert squared.mean() == pytest.approx(1 / 6, abs=4 * squared.std() / 4000**0.5)
    assert (marks.mean(axis=0) > 0.1).all()  # every step is marked now and then


def test_recall_and_copy():
    data, names = recall(1, 500, 7, classes=3, distractors=5)
    ids = data.ids.reshape(500, 8)
    np.testing.assert_array_equal(ids[:, 0], data.labels)
    assert (np.bincount(data.labels) > 100).all()
    assert ids[:, 1:].min() == 3
    assert ids[:, 1:].max() == 7 == len(names) - 1
    data, names = copy_memory(1, 300, 9, symbols=4, length=3)
    ids, labels = data.ids.reshape(300, 15), data.labels.reshape(300, 15)
    np.testing.assert_array_equal(labels[:, -3:], ids[:, :3])
    assert (labels[:, :-3] == 4).all()
    assert (ids[:, 11] == 5).all()
    assert (np.delete(ids[:, 3:], 8, axis=1) == 4).all()
    assert names[4:] == ["blank", "delimiter"]


@pytest.mark.parametrize("draw", [adding, recall, copy_memory])
def test_a_row_is_a_pure_function_of_its_number(draw):
    def values(n, first, seed=5):
        rows = draw(seed, n, 12, first=first)
        rows = rows if draw is adding else rows[0]
        return (rows.values if draw is adding else rows.ids).reshape(n, -1)

    np.testing.assert_array_equal(values(20, 0)[7:], values(13, 7))
    assert not np.array_equal(values(20, 0), values(20, 0, seed=6))
