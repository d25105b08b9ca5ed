"""Skip-gram training: learns, repeats at any thread count, goes on exactly, and says what it does."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnncli.config.embeddings import CorpusConfig, EmbeddingsConfig
from rnncli.embeddings.train_word2vec import initial_tensors, train_word2vec
from rnncli.embeddings.training import Lines
from rnncli.errors import CorpusError, DivergedError
from rnncli.events import EpochDone, PhaseStarted, Progressed, ignore

GROUPS, PER_GROUP = 6, 5


def config(**changes):
    return EmbeddingsConfig(corpus=CorpusConfig(paths=[Path("-")]), **{"dim": 20, "epochs": 2, "sample": 0.0} | changes)


def planted(lines=1500, seed=0):
    """Lines of words of one group each, and the counts: words of a group share their contexts."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 12, lines)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    group = np.repeat(random.integers(0, GROUPS, lines), lengths)
    ids = (group * PER_GROUP + random.integers(0, PER_GROUP, len(group))).astype(np.int32)
    return Lines(ids, offsets), np.bincount(ids, minlength=GROUPS * PER_GROUP)


@pytest.mark.parametrize("loss", ["ns", "hs"])
@pytest.mark.parametrize("algorithm", ["skipgram", "cbow"])
@pytest.mark.parametrize("mode", ["deterministic", "hogwild"])
def test_words_that_share_contexts_become_neighbours(mode, algorithm, loss):
    chosen = config(mode=mode, algorithm=algorithm, loss=loss, epochs=15, lr=0.05)
    state = train_word2vec(*planted(), chosen, ignore)
    unit = state.tensors["inputs"] / np.linalg.norm(state.tensors["inputs"], axis=1, keepdims=True)
    cosine = unit @ unit.T - 2.0 * np.eye(len(unit))
    near = np.argsort(-cosine, axis=1)[:, : PER_GROUP - 1]
    same = near // PER_GROUP == np.arange(len(unit))[:, None] // PER_GROUP
    assert same.mean() > 0.95
    assert state.losses[-1] < state.losses[0]
    if loss == "ns":
        assert state.losses[-1] < 0.8 * state.losses[0]
        assert state.losses[0] < 6 * np.log(2.0) + 1e-6
    else:  # a true probability: it cannot beat a uniform choice within the group, and comes near it
        assert np.log(PER_GROUP) - 0.02 < state.losses[-1] < np.log(PER_GROUP) + 0.1


def test_training_goes_on_exactly_after_any_epoch():
    corpus, chosen = planted(400), config(epochs=4, sample=1e-2)
    states = []
    whole = train_word2vec(*corpus, chosen, ignore, on_epoch=states.append)
    assert [s.epoch for s in states] == [1, 2, 3, 4]
    for start in states[:-1]:
        again = train_word2vec(*corpus, chosen, ignore, start=start)
        np.testing.assert_array_equal(again.tensors["inputs"], whole.tensors["inputs"])
        np.testing.assert_array_equal(again.tensors["outputs"], whole.tensors["outputs"])
        assert again.losses == whole.losses
    other = train_word2vec(*corpus, config(epochs=4, sample=1e-2, seed=2), ignore)
    assert not np.array_equal(other.tensors["inputs"], whole.tensors["inputs"])


DIGEST = """
import sys; sys.path[:0] = [{tests!r}, {here!r}]
import hashlib
from test_train_word2vec import config, planted
from rnncli.embeddings.train_word2vec import train_word2vec
for threads in (1, 2, 4):
    state = train_word2vec(*planted(600), config(threads=threads, algorithm={algorithm!r}, loss={loss!r}), lambda event: None)
    print(hashlib.sha256(state.tensors["inputs"].tobytes() + repr(state.losses).encode()).hexdigest())
"""


@pytest.mark.parametrize(
    ("algorithm", "loss"), [("skipgram", "ns"), ("cbow", "ns"), ("skipgram", "hs"), ("cbow", "hs")]
)
def test_the_same_bytes_at_1_2_and_4_threads(algorithm, loss):
    here = Path(__file__).parent
    code = DIGEST.format(tests=str(here.parent), here=str(here), algorithm=algorithm, loss=loss)
    environment = os.environ | {"NUMBA_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    digests = done.stdout.split()
    state = train_word2vec(*planted(600), config(algorithm=algorithm, loss=loss), ignore)
    mine = hashlib.sha256(state.tensors["inputs"].tobytes() + repr(state.losses).encode()).hexdigest()
    assert digests == [mine] * 3


def test_events_tell_how_far_training_is():
    events = []
    corpus = planted(50)
    train_word2vec(*corpus, config(), events.append)
    assert events[0] == PhaseStarted("training", 2 * corpus[0].tokens, "tokens")
    done = [e.done for e in events if isinstance(e, Progressed)]
    assert done == sorted(done)
    assert done[-1] == 2 * corpus[0].tokens
    assert [e.epoch for e in events if isinstance(e, EpochDone)] == [1, 2]


def test_the_first_vectors_are_small_and_uniform():
    tensors = initial_tensors(5000, 50, 1)
    assert np.abs(tensors["inputs"]).max() <= 0.5 / 50
    assert np.std(tensors["inputs"]) == pytest.approx(1.0 / 50 / np.sqrt(12.0), rel=0.01)
    assert not tensors["outputs"].any()
    np.testing.assert_array_equal(initial_tensors(10, 50, 1)["inputs"], tensors["inputs"][:10])


@pytest.mark.parametrize("lines", [[1], [0, 2, 0], [3]])
@pytest.mark.parametrize("mode", ["deterministic", "hogwild"])
def test_tiny_corpora_train(lines, mode):
    offsets = np.append(0, np.cumsum(lines)).astype(np.int64)
    ids = np.arange(offsets[-1], dtype=np.int32)
    state = train_word2vec(Lines(ids, offsets), np.ones(len(ids), np.int64), config(mode=mode, negative=7), ignore)
    assert state.tensors["inputs"].shape == (len(ids), 20)
    assert np.isfinite(state.losses).all()


def test_nothing_to_train_on_and_divergence_are_errors():
    with pytest.raises(CorpusError):
        train_word2vec(Lines(np.zeros(0, np.int32), np.zeros(1, np.int64)), np.zeros(0, np.int64), config(), ignore)
    with pytest.raises(DivergedError):
        train_word2vec(*planted(50), config(lr=1e30), ignore)
