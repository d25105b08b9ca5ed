"""The kernel of the exact softmax at its edges: large scores, predictions listed piece by piece, slots left over.

Its formula, gradients and optimum are in tests/embeddings/test_train_softmax.py.
"""

import numpy as np
import pytest

from rnncli.kernels.word2vec_softmax import next_batch, train_span

V, E = 9, 5
WORDS = np.array([4, 1, 1, 8, 0, 4, 2], np.int32)
LOW = np.array([0, 0, 0, 3, 2, 3, 5], np.int32)  # centre 3 is alone in its window
HIGH = np.array([2, 4, 4, 4, 6, 7, 7], np.int32)


def listed(cbow, batch):
    """(centre, target) of every prediction, batch after batch, and the number of each batch."""
    found, sizes, i, j = [], [], 0, 0
    while i < len(WORDS):
        centres, targets = np.full(batch, -9, np.int64), np.full(batch, -9, np.int64)
        n, i, j = next_batch(WORDS, LOW, HIGH, i, j, len(WORDS), cbow, centres, targets)
        assert (targets[:n] >= 0).all()
        assert (targets[n:] == -1).all(), "slots without a prediction are marked"
        found += zip(centres[:n].tolist(), targets[:n].tolist(), strict=True)
        sizes.append(n)
    return found, sizes


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_every_prediction_is_listed_once_in_order(batch):
    contexts = [[j for j in range(LOW[i], HIGH[i]) if j != i] for i in range(len(WORDS))]
    found, sizes = listed(False, batch)
    assert found == [(i, WORDS[j]) for i, near in enumerate(contexts) for j in near]
    assert all(n == batch for n in sizes[: len(found) // batch])
    found, _ = listed(True, batch)
    assert found == [(i, WORDS[i]) for i, near in enumerate(contexts) if near]


@pytest.mark.parametrize("shard", [2, 20])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("cbow", [False, True])
def test_scores_of_hundreds_neither_overflow_nor_vanish(cbow, kind, shard):
    """exp(400) is no float32; whole shards, the first one too, lie 800 below the highest score."""
    x, y = np.zeros((V, E), kind), np.zeros((V, E), kind)
    x[:, 0] = 20.0
    high = np.isin(np.arange(V), (4, 8))  # score 400, the others -400
    y[:, 0] = np.where(high, 20.0, -20.0)
    bounds = np.append(np.arange(0, V, shard), V).astype(np.int64)
    shape = (len(bounds) - 1, 3)
    space = [np.zeros(s, kind) for s in ((E, 3), (3, E), (V, 3), shape, shape, (*shape, E))]
    loss, made = train_span(x, y, WORDS, LOW, HIGH, 0, len(WORDS), cbow, kind(0.0), bounds, *space)
    targets = np.array([target for _, target in listed(cbow, 64)[0]])
    assert made == len(targets)
    assert loss == pytest.approx(np.where(high[targets], 0.0, 800.0).sum() + len(targets) * np.log(2.0), rel=1e-6)
