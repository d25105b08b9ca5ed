"""Hierarchical softmax: the tree is optimal and complete, and the kernel follows it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import word2vec as reference

from rnncli.embeddings.sampling import huffman_tree
from rnncli.embeddings.train_word2vec import train_word2vec
from rnncli.embeddings.training import Lines
from rnncli.errors import CorpusError
from rnncli.events import ignore
from rnncli.kernels.word2vec import train_words


def depths(paths):
    return (paths >= 0).sum(axis=1)


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=60))
@settings(deadline=None)
def test_the_tree_is_a_complete_prefix_code_of_least_expected_length(counts):
    counts = np.array(counts)
    paths, codes = huffman_tree(counts)
    depth = depths(paths)
    assert (0.5**depth).sum() == pytest.approx(1.0)
    assert len({(int(d), int(c)) for d, c in zip(depth, codes, strict=True)}) == len(counts)
    share = counts / counts.sum()
    entropy = -(share * np.log2(share)).sum()
    assert entropy - 1e-9 <= (share * depth).sum() <= entropy + 1.0
    rare, frequent = counts.argmin(), counts.argmax()
    assert depth[rare] >= depth[frequent]
    assert (paths[:, 0] == len(counts) - 2).all(), "every path begins at the root"


def test_probabilities_of_all_words_sum_to_one():
    """p(w | x) = product over the path of sigmoid(+-x . y) is a distribution, whatever the vectors."""
    rng = np.random.default_rng(0)
    paths, codes = huffman_tree(rng.integers(1, 100, 37))
    x, y = rng.normal(size=8), rng.normal(size=(36, 8))
    total = 0.0
    for path, code in zip(paths, codes, strict=True):
        p = 1.0
        for k, node in enumerate(path[path >= 0]):
            p *= reference.sigmoid((1.0 if code >> k & 1 else -1.0) * (x @ y[node]))
        total += p
    assert total == pytest.approx(1.0, rel=1e-12)


def test_the_kernel_matches_the_numpy_twin_on_paths():
    rng = np.random.default_rng(1)
    v, dim = 40, 20
    paths, codes = huffman_tree(rng.integers(1, 1000, v))
    assert depths(paths).max() > 6, "more than one block"
    x, y = np.zeros((v + 1, 32), np.float32), np.zeros((v + 1, 32), np.float32)
    x[:v, :dim], y[: v - 1, :dim] = rng.normal(size=(v, dim)) * 0.3, rng.normal(size=(v - 1, dim)) * 0.3
    words = rng.integers(0, v, 10)
    low, high = np.maximum(np.arange(10) - 2, 0), np.minimum(np.arange(10) + 3, 10)
    x_want, y_want, loss_want = x.astype(np.float64), y.astype(np.float64), 0.0
    for i, word in enumerate(words):
        contexts = [words[j] for j in range(low[i], high[i]) if j != i]
        rate = float(np.float32(0.1))
        loss_want += reference.step(x_want, y_want, contexts, paths[word], rate, int(codes[word]))
    arrays = [a.astype(np.int32) for a in (words, low, high)]
    rows = (x.reshape(-1), y.reshape(-1))
    loss, _ = train_words(
        *rows, *arrays, paths[words], codes[words], 0, 10, np.int64(v), np.int64(v), 5, np.float32(0.1), 32
    )
    np.testing.assert_allclose(x, x_want, atol=3e-5)
    np.testing.assert_allclose(y, y_want, atol=3e-5)
    assert loss == pytest.approx(loss_want, rel=1e-5)


def test_a_single_word_has_no_tree():
    from test_train_word2vec import config

    with pytest.raises(CorpusError, match="two words"):
        train_word2vec(Lines(np.zeros(9, np.int32), np.array([0, 9])), np.array([9]), config(loss="hs"), ignore)
