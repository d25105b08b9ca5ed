"""The step of one centre word: against the NumPy twin, whose gradient is held against central differences."""

import numpy as np
import pytest
from gradcheck import central_differences, relative_error
from reference import word2vec as reference

from rnncli.kernels.word2vec import train_words

V = 9


def make(dim, seed=0, scale=1.0):
    """Rows of V words and one idle row, padded with zeros to whole vectors; flat, as the kernel wants them."""
    rng = np.random.default_rng(seed)
    width = -(-dim // 16) * 16
    x, y = np.zeros((V + 1, width), np.float32), np.zeros((V + 1, width), np.float32)
    x[:V, :dim], y[:V, :dim] = rng.normal(size=(V, dim)) * scale, rng.normal(size=(V, dim)) * scale
    return x, y


def run(x, y, words, low, high, outputs, lr, window=5, labels=None):
    arrays = [np.array(a, np.int32) for a in (words, low, high)]
    outputs = np.array(outputs, np.int32).reshape(len(words), -1)
    x_flat, y_flat = x.reshape(-1), y.reshape(-1)
    labels = np.ones(len(words), np.int64) if labels is None else np.array(labels, np.int64)
    return train_words(
        x_flat, y_flat, *arrays, outputs, labels, 0, len(words), np.int64(V), np.int64(V), window, np.float32(lr),
        x.shape[1],
    )  # fmt: skip


def expected(x, y, words, low, high, outputs, lr):
    x, y = x.astype(np.float64), y.astype(np.float64)
    loss = 0.0
    for i in range(len(words)):
        contexts = [words[j] for j in range(low[i], high[i]) if j != i]
        loss += reference.step(x, y, contexts, outputs[i], float(np.float32(lr)))
    return x, y, loss


@pytest.mark.parametrize("negatives", [1, 4, 5, 6, 12])
@pytest.mark.parametrize("dim", [3, 16, 100])
def test_a_pass_over_words_matches_the_numpy_twin(dim, negatives):
    rng = np.random.default_rng(dim + negatives)
    x, y = make(dim, scale=0.5 if dim < 100 else 0.2)  # products of a few units, as in training
    words = rng.integers(0, V, 12)
    words[4] = words[5]  # the same word twice in one pair of contexts
    reach = rng.integers(1, 6, 12)
    low, high = np.maximum(np.arange(12) - reach, 0), np.minimum(np.arange(12) + reach + 1, 12)
    outputs = rng.integers(0, V, (12, 1 + negatives))
    outputs[:, 0] = words
    outputs[:, 1:][outputs[:, 1:] == words[:, None]] = -1  # a negative that is the centre is left out
    x_want, y_want, loss_want = expected(x, y, words, low, high, outputs, 0.1)
    loss, pairs = run(x, y, words, low, high, outputs, 0.1)
    np.testing.assert_allclose(x, x_want, atol=2e-5)
    np.testing.assert_allclose(y, y_want, atol=2e-5)
    assert loss == pytest.approx(loss_want, rel=1e-5)
    assert pairs == sum(high - low - 1)
    assert not x[V].any(), "the idle row must stay zero"
    assert not y[V].any(), "the idle row must stay zero"
    assert not x[:, dim:].any(), "the padding must stay zero"


def test_a_word_alone_in_its_window_changes_nothing():
    x, y = make(5)
    before = x.copy(), y.copy()
    loss, pairs = run(x, y, [3], [0], [1], [3, 1, 2, 4, 5, 6], 0.1)
    assert (loss, pairs) == (0.0, 0)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize("negatives", [1, 5])
def test_the_steps_are_the_gradient_of_the_loss(negatives):
    """With a small rate, (before - after) / rate is dloss / drow of the twin, and that agrees with differences."""
    x, y = make(20, seed=4, scale=0.7)
    contexts, outputs = [0, 1, 2], [3, *range(4, 4 + negatives)]
    x64, y64 = x.astype(np.float64)[contexts], y.astype(np.float64)[outputs]
    labels = np.array([1.0] + [0.0] * negatives)
    dx, dy = reference.gradients(x64, y64, labels)
    for grad, values in ((dx, x64), (dy, y64)):
        numeric = central_differences(lambda: reference.loss(x64, y64, labels), values)
        assert relative_error(grad, numeric) < 1e-7
    before_x, before_y = x.copy(), y.copy()
    lr = 2.0**-7
    idle = [-1] * negatives
    words = [0, 3, 1, 2]  # only the centre 3 has contexts
    run(x, y, words, [0, 0, 2, 3], [1, 4, 3, 4], [[0, *idle], outputs, [1, *idle], [2, *idle]], lr)
    np.testing.assert_allclose((before_x - x)[contexts] / lr, dx, atol=2e-4)
    np.testing.assert_allclose((before_y - y)[outputs] / lr, dy, atol=2e-4)


@pytest.mark.parametrize("size", [8.0, 200.0])
def test_large_products_saturate_and_stay_finite(size):
    x, y = np.zeros((V + 1, 16), np.float32), np.zeros((V + 1, 16), np.float32)
    x[:V, 0], y[:V, 0] = size, -size
    loss, _ = run(x, y, [0, 1], [0, 0], [2, 2], [[0, 2, -1, -1, -1, -1], [1, 2, -1, -1, -1, -1]], 0.01)
    assert np.isfinite(loss)
    assert loss > 10.0
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
