"""The step of one centre word of CBOW: against the NumPy twin, whose gradient is held against central differences."""

import numpy as np
import pytest
from gradcheck import central_differences, relative_error
from reference import word2vec as reference

from rnncli.kernels.cbow import train_cbow

V = 9


def make(dim, seed=0):
    """Rows of V words and one idle row, padded with zeros to whole vectors."""
    rng = np.random.default_rng(seed)
    width = -(-dim // 16) * 16
    x, y = np.zeros((V + 1, width), np.float32), np.zeros((V + 1, width), np.float32)
    x[:V, :dim], y[:V, :dim] = rng.normal(size=(2, V, dim)) * 0.4
    return x, y


def run(x, y, words, low, high, outputs, lr):
    arrays = [np.array(a, np.int32) for a in (words, low, high)]
    outputs = np.array(outputs, np.int32).reshape(len(words), -1)
    flat = (x.reshape(-1), y.reshape(-1))
    ones = np.ones(len(words), np.int64)
    return train_cbow(
        *flat, *arrays, outputs, ones, 0, len(words), np.int64(V), np.int64(V), 5, np.float32(lr), x.shape[1]
    )


@pytest.mark.parametrize("negatives", [1, 5, 6, 12])
@pytest.mark.parametrize("dim", [3, 16, 100])
def test_a_pass_over_words_matches_the_numpy_twin(dim, negatives):
    rng = np.random.default_rng(dim + negatives)
    x, y = make(dim)
    words = rng.integers(0, V, 14)
    reach = rng.integers(1, 6, 14)
    low, high = np.maximum(np.arange(14) - reach, 0), np.minimum(np.arange(14) + reach + 1, 14)
    low[3], high[3] = 3, 4  # a centre without contexts
    outputs = rng.integers(0, V, (14, 1 + negatives))
    outputs[:, 0] = words
    outputs[:, 1:][outputs[:, 1:] == words[:, None]] = -1
    x_want, y_want, loss_want, centres = x.astype(np.float64), y.astype(np.float64), 0.0, 0
    for i in range(14):
        contexts = [words[j] for j in range(low[i], high[i]) if j != i]
        if contexts:
            loss_want += reference.cbow_step(x_want, y_want, contexts, outputs[i], float(np.float32(0.1)))
            centres += 1
    loss, counted = run(x, y, words, low, high, outputs, 0.1)
    np.testing.assert_allclose(x, x_want, atol=3e-5)
    np.testing.assert_allclose(y, y_want, atol=3e-5)
    assert loss == pytest.approx(loss_want, rel=1e-5)
    assert counted == centres == 13
    assert not x[V].any(), "the idle row must stay zero"
    assert not y[V].any(), "the idle row must stay zero"
    assert not y[:, dim:].any(), "the padding must stay zero"


def test_the_steps_are_the_gradient_of_the_loss():
    """With a small rate the outputs move by dloss/dy, and every context by dloss/dh; both agree with differences."""
    x, y = make(20, seed=4)
    contexts, outputs = [0, 1, 2], [3, 4, 5, 6]
    labels = np.array([1.0, 0.0, 0.0, 0.0])
    h, y64 = x[contexts].astype(np.float64).mean(axis=0), y[outputs].astype(np.float64)
    dh = central_differences(lambda: reference.cbow_loss(h, y64, labels), h)
    dy = central_differences(lambda: reference.cbow_loss(h, y64, labels), y64)
    error = reference.sigmoid(y64 @ h) - labels
    assert relative_error(error @ y64, dh) < 1e-7
    before_x, before_y, lr = x.copy(), y.copy(), 2.0**-7
    idle = [-1, -1, -1]
    run(x, y, [0, 3, 1, 2], [0, 0, 2, 3], [1, 4, 3, 4], [[0, *idle], outputs, [1, *idle], [2, *idle]], lr)
    np.testing.assert_allclose((before_y - y)[outputs] / lr, dy, atol=2e-4)
    for context in contexts:
        np.testing.assert_allclose((before_x - x)[context] / lr, dh, atol=2e-4)
