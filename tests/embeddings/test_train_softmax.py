"""Exact softmax: the formula, its gradients, its optimum, the same bytes at any thread count, exact continuation."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gradcheck import central_differences
from reference.word2vec import softmax_step
from test_train_word2vec import GROUPS, PER_GROUP, config, planted

from rnncli.embeddings import train_softmax
from rnncli.embeddings.train_softmax import SoftmaxRun
from rnncli.embeddings.train_word2vec import initial_tensors
from rnncli.embeddings.training import Lines, TrainState, train
from rnncli.errors import ConfigError, CorpusError, DivergedError
from rnncli.events import ignore
from rnncli.kernels.word2vec_softmax import train_span

V, E = 11, 6
WORDS = np.array([3, 0, 7, 7, 2, 10, 3, 1], np.int32)
LOW = np.array([0, 0, 1, 1, 4, 3, 4, 6], np.int32)  # centre 4 is alone in its window
HIGH = np.array([3, 3, 4, 6, 5, 7, 8, 8], np.int32)


def span(x, y, cbow, rate, batch, shard, first=0, last=8):
    """Train in place; returns (loss, predictions)."""
    bounds = np.append(np.arange(0, V, shard), V).astype(np.int64)
    shape = (len(bounds) - 1, batch)
    kind = x.dtype
    space = [np.full(s, np.nan, kind) for s in ((E, batch), (batch, E), (V, batch), shape, shape, (*shape, E))]
    space[0][:], space[1][:] = 0, 0
    return train_span(x, y, WORDS, LOW, HIGH, first, last, cbow, kind.type(rate), bounds, *space)


def matrices(kind=np.float64, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(V, E)).astype(kind), random.normal(size=(V, E)).astype(kind)


@pytest.mark.parametrize("cbow", [False, True])
@pytest.mark.parametrize(("batch", "shard"), [(1, 20), (3, 4), (5, 1), (64, 5)])
def test_steps_are_those_of_the_formula(cbow, batch, shard):
    x, y = matrices()
    expected_x, expected_y = x.copy(), y.copy()
    expected = softmax_step(expected_x, expected_y, WORDS, LOW, HIGH, cbow, 0.1, batch)
    loss, made = span(x, y, cbow, 0.1, batch, shard)
    assert (loss, made) == (pytest.approx(expected[0], rel=1e-12), expected[1])
    np.testing.assert_allclose(x, expected_x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(y, expected_y, rtol=0, atol=1e-12)
    single = matrices(np.float32)
    span(*single, cbow, 0.1, batch, shard)
    np.testing.assert_allclose(single[0], expected_x, atol=2e-5)
    np.testing.assert_allclose(single[1], expected_y, atol=2e-5)


@pytest.mark.parametrize("cbow", [False, True])
def test_steps_follow_the_gradient(cbow):
    """Central differences of the loss of all predictions, taken in one batch."""
    x, y = matrices()
    after_x, after_y = x.copy(), y.copy()
    span(after_x, after_y, cbow, 1.0, 64, 4)
    for which, moved in ((0, x - after_x), (1, y - after_y)):
        pair = [x.copy(), y.copy()]

        def loss(pair=pair):
            return span(pair[0].copy(), pair[1].copy(), cbow, 0.0, 64, 4)[0]

        numeric = central_differences(loss, pair[which])
        if cbow and which == 0:  # a context takes the whole step of the mean: undo that, prediction by prediction
            moved = np.zeros_like(x)
            for i in range(len(WORDS)):
                n = HIGH[i] - LOW[i] - 1
                one_x, one_y = x.copy(), y.copy()
                span(one_x, one_y, True, 1.0, 64, 4, i, i + 1)
                moved += (x - one_x) / max(n, 1)
        error = np.abs(moved - numeric).max() / np.abs(numeric).max()
        assert error <= 1e-6


def test_a_rate_of_nothing_moves_nothing():
    x, y = matrices(np.float32)
    span(x, y, False, 0.0, 5, 4)
    np.testing.assert_array_equal(x, matrices(np.float32)[0])
    np.testing.assert_array_equal(y, matrices(np.float32)[1])


def test_training_reaches_the_optimum():
    """With as many dimensions as words every distribution can be had: the best one is that of the corpus.

    Lines of two words have one context each, so the windows' draws play no part.
    """
    random = np.random.default_rng(3)
    words, lines = 6, 400
    weights = random.dirichlet(np.full(words, 0.5), words) * random.dirichlet(np.full(words, 2.0))[:, None]
    cells = random.choice(words * words, lines, p=weights.ravel())
    ids = np.stack([cells // words, cells % words], axis=1).astype(np.int32).ravel()
    counts = np.bincount(ids, minlength=words)
    pairs = np.zeros((words, words))
    np.add.at(pairs, (ids[0::2], ids[1::2]), 1.0)
    pairs += pairs.T
    conditional = pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1.0)
    entropy = -(pairs * np.log(np.where(pairs > 0, conditional, 1.0))).sum() / pairs.sum()
    chosen = config(loss="softmax", dim=12, epochs=600, lr=0.05)
    tensors = initial_tensors(words, 12, 1)
    text = Lines(ids, np.arange(0, 2 * lines + 1, 2))
    state = train(SoftmaxRun(text, counts, chosen, tensors), 600, TrainState(0, tensors), ignore)
    assert entropy <= state.losses[-1] <= entropy + 0.01
    scores = state.tensors["inputs"].astype(np.float64) @ state.tensors["outputs"].T
    learned = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    seen = pairs.sum(axis=1) > 20
    np.testing.assert_allclose(learned[seen], conditional[seen], atol=0.03)


@pytest.mark.parametrize("algorithm", ["skipgram", "cbow"])
def test_training_goes_on_exactly_after_any_epoch(algorithm, monkeypatch):
    monkeypatch.setattr(train_softmax, "SHARD_WORDS", 7)
    lines, counts = planted(500)
    tensors = initial_tensors(len(counts), 20, 1)
    chosen = config(loss="softmax", algorithm=algorithm, epochs=3, valid_fraction=0.2)
    states = []
    whole = train(SoftmaxRun(lines, counts, chosen, tensors), 3, TrainState(0, tensors), ignore, states.append)
    for start in states[:2]:
        again = train(SoftmaxRun(lines, counts, chosen, start.tensors), 3, start, ignore)
        assert (again.losses, again.valid_losses) == (whole.losses, whole.valid_losses)
        np.testing.assert_array_equal(again.tensors["inputs"], whole.tensors["inputs"])
        np.testing.assert_array_equal(again.tensors["outputs"], whole.tensors["outputs"])


# A process of its own: here set_threads gives no more threads than the machine has cores, without a word.
DIGEST = """
import sys; sys.path[:0] = [{tests!r}, {here!r}]
import hashlib
from test_train_word2vec import config, planted
from rnncli.embeddings import train_softmax
from rnncli.embeddings.train_word2vec import initial_tensors
from rnncli.embeddings.training import TrainState, train
from rnncli.kernels._jit import set_threads
train_softmax.SHARD_WORDS = 7
lines, counts = planted(500)
for threads in (1, 2, 4):
    assert set_threads(threads) == threads
    chosen = config(loss="softmax", algorithm={algorithm!r}, threads=threads, valid_fraction=0.2)
    tensors = initial_tensors(len(counts), 20, 1)
    run = train_softmax.SoftmaxRun(lines, counts, chosen, tensors)
    state = train(run, 2, TrainState(0, tensors), lambda event: None)
    bits = b"".join(state.tensors[name].tobytes() for name in ("inputs", "outputs"))
    print(hashlib.sha256(bits + repr((state.losses, state.valid_losses)).encode()).hexdigest())
"""


@pytest.mark.parametrize("algorithm", ["skipgram", "cbow"])
def test_the_same_bytes_at_1_2_and_4_threads(algorithm):
    here = Path(__file__).parent
    code = DIGEST.format(tests=str(here.parent), here=str(here), algorithm=algorithm)
    environment = os.environ | {"NUMBA_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    digests = done.stdout.split()
    assert len(digests) == 3
    assert len(set(digests)) == 1


@pytest.mark.parametrize("algorithm", ["skipgram", "cbow"])
def test_every_epoch_draws_windows_of_its_own(algorithm):
    """At a rate too small to move a float32 the loss tells only what was drawn, and depends on the vectors' pairs."""
    lines, counts = planted(200)
    random = np.random.default_rng(0)
    tensors = {name: random.normal(size=(len(counts), 20)).astype(np.float32) for name in ("inputs", "outputs")}
    run = SoftmaxRun(lines, counts, config(loss="softmax", algorithm=algorithm, lr=1e-30), tensors)
    first, second = run.epoch(0, ignore), run.epoch(1, ignore)
    np.testing.assert_array_equal(run.tensors()["inputs"], tensors["inputs"])
    assert first != second
    assert run.epoch(0, ignore) == first


def test_divergence_is_an_error():
    lines, counts = planted(50)
    tensors = initial_tensors(len(counts), 20, 1)
    run = SoftmaxRun(lines, counts, config(loss="softmax", lr=1e30), tensors)
    with pytest.raises(DivergedError, match="lower lr"):
        train(run, 2, TrainState(0, tensors), ignore)


@pytest.mark.parametrize("algorithm", ["skipgram", "cbow"])
def test_words_that_share_contexts_become_neighbours(algorithm):
    lines, counts = planted()
    tensors = initial_tensors(len(counts), 20, 1)
    chosen = config(loss="softmax", algorithm=algorithm, epochs=5, lr=0.05)
    state = train(SoftmaxRun(lines, counts, chosen, tensors), 5, TrainState(0, tensors), ignore)
    unit = state.tensors["inputs"] / np.linalg.norm(state.tensors["inputs"], axis=1, keepdims=True)
    near = np.argsort(-(unit @ unit.T - 2 * np.eye(len(unit))), axis=1)[:, : PER_GROUP - 1]
    assert (near // PER_GROUP == np.arange(len(unit))[:, None] // PER_GROUP).mean() > 0.95
    assert np.log(PER_GROUP) - 0.02 < state.losses[-1] < np.log(PER_GROUP * GROUPS)


def test_a_large_vocabulary_and_an_empty_corpus_are_refused(monkeypatch):
    monkeypatch.setattr(train_softmax, "LARGEST_VOCABULARY", 20)
    lines, counts = planted(50)
    with pytest.raises(ConfigError, match="max_vocab"):
        SoftmaxRun(lines, counts, config(loss="softmax"), initial_tensors(len(counts), 20, 1))
    with pytest.raises(CorpusError):
        SoftmaxRun(Lines(lines.ids[:0], lines.offsets[:1]), counts[:5], config(loss="softmax"), {})
