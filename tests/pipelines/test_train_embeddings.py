"""train-embeddings from text to run folder: every way of training, stopping and going on, and going on from vectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.errors import ConfigError, CorpusError, InterruptedRunError, RnncliError, UsageError
from rnncli.events import CheckpointSaved, Note, ignore
from rnncli.pipelines import train_embeddings
from rnncli.pipelines.models import load_embeddings

WAYS = {
    "skipgram": {},
    "cbow-hs": {"algorithm": "cbow", "loss": "hs"},
    "softmax": {"loss": "softmax"},
    "subwords": {"subwords": {"minn": 2, "maxn": 3, "bucket": 300}},
    "glove": {"algorithm": "glove", "x_max": 5, "output": "sum"},
    "glove-pieces": {"algorithm": "glove", "x_max": 5, "symmetric": False, "output": "contexts", "memory_limit": 1},
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def text(tmp_path):
    """Two files of sentences from a vocabulary of fifty words."""
    random = np.random.default_rng(0)
    words = np.array([f"{a}{b}" for a in "abcdefghij" for b in ("ino", "arda", "eck", "ul", "os")])
    folder = tmp_path / "text"
    folder.mkdir()
    for name in ("one.txt", "two.txt"):
        lines = (" ".join(words[(50 * random.random(9) ** 2).astype(int)]) for _ in range(300))
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def config(text, **changes):
    base = {"corpus": {"paths": [str(text)], "min_count": 2}, "dim": 12, "epochs": 3, "sample": 1e-2}
    return EmbeddingsConfig.model_validate(base | changes)


@pytest.mark.parametrize("way", WAYS)
def test_a_stopped_run_goes_on_to_the_same_bytes(way, text, tmp_path):
    chosen = config(text, valid_fraction=0.1, **WAYS[way])
    whole = train_embeddings.run(chosen, tmp_path / "whole")

    def stop(event):
        if isinstance(event, CheckpointSaved):
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        train_embeddings.run(chosen, tmp_path / "stopped", on_event=stop)
    other_threads = chosen.model_copy(update={"threads": 1})
    again = train_embeddings.run(other_threads, tmp_path / "stopped", resume=True)
    assert again.model_sha256 == whole.model_sha256
    assert (again.loss, again.valid_loss) == (whole.loss, whole.valid_loss)
    history = [json.loads(line) for line in (tmp_path / "stopped" / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in history] == [1, 2, 3]
    assert history[-1] == {"epoch": 3, "loss": whole.loss, "valid_loss": whole.valid_loss}
    assert not list((tmp_path / "cache" / "rnncli" / "corpora").glob("unfinished-*"))


def test_a_run_goes_on_only_as_it_began(text, tmp_path):
    def stop(event):
        if isinstance(event, CheckpointSaved):
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        train_embeddings.run(config(text), tmp_path / "run", on_event=stop)
    with pytest.raises(UsageError, match="window"):
        train_embeddings.run(config(text, window=3), tmp_path / "run", resume=True)
    (text / "one.txt").write_text("other words\n" * 50)
    with pytest.raises(UsageError, match="changed"):
        train_embeddings.run(config(text), tmp_path / "run", resume=True)


@pytest.mark.parametrize("way", ["skipgram", "subwords", "glove", "glove-pieces"])
def test_going_on_from_a_run_keeps_old_words_and_adds_new_ones(way, text, tmp_path):
    first = train_embeddings.run(config(text / "one.txt", **WAYS[way]), tmp_path / "first")
    (text / "new.txt").write_text("brandnew word brandnew word aino brandnew aino word\n" * 40)
    notes = []
    changes = WAYS[way] | {"init_from": str(tmp_path / "first"), "lr": 1e-30, "epochs": 1}
    second = train_embeddings.run(config(text / "new.txt", **changes), tmp_path / "second", on_event=notes.append)
    old, new = load_embeddings(tmp_path / "first"), load_embeddings(tmp_path / "second")
    assert set(new.vocab.tokens) == set(old.vocab.tokens) | {"brandnew", "word"}
    assert (second.init_from.kept, second.init_from.added) == (first.words, 2)
    # With next to no learning rate the old vectors are what they were.
    rows, found = new.rows_of(old.vocab.tokens)
    assert found.all()
    np.testing.assert_allclose(new.vectors_VE[rows], old.vectors_VE, atol=2e-6)
    assert second.init_from.mean_cosine == pytest.approx(1.0, abs=1e-4)
    assert any(isinstance(n, Note) and "kept" in n.text for n in notes)


def test_going_on_needs_the_same_dimension_and_reports_what_moved(text, tmp_path):
    train_embeddings.run(config(text), tmp_path / "first")
    with pytest.raises(UsageError, match="12 dimensions"):
        train_embeddings.run(config(text, init_from=str(tmp_path / "first"), dim=20), tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()
    moved = train_embeddings.run(config(text, init_from=str(tmp_path / "first"), lr=0.2), tmp_path / "more").init_from
    assert moved.added == 0
    assert moved.moved == moved.kept
    assert moved.mean_cosine < 0.999


def test_folders_patterns_and_phrases(text, tmp_path):
    folder = train_embeddings.run(config(text), tmp_path / "folder")
    pattern = train_embeddings.run(config(text / "*.txt"), tmp_path / "pattern")
    assert folder.vectors_sha256 == pattern.vectors_sha256
    (text / "one.txt").write_text("we saw new york and left new york again\n" * 50)
    phrases = {"passes": 1, "threshold": 1.5, "discount": 1}
    joined = config(text, corpus={"paths": [str(text)], "min_count": 2, "phrases": phrases})
    train_embeddings.run(joined, tmp_path / "phrases")
    assert "new_york" in load_embeddings(tmp_path / "phrases").vocab.tokens


def test_vectors_are_those_that_are_asked_for(text, tmp_path):
    models = {}
    for output in ("words", "contexts", "sum"):
        train_embeddings.run(config(text, algorithm="glove", output=output), tmp_path / output)
        models[output] = load_embeddings(tmp_path / output).vectors_VE
    np.testing.assert_allclose(models["words"] + models["contexts"], models["sum"], atol=1e-6)
    assert not np.allclose(models["words"], models["contexts"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "glove", "mode": "hogwild"}, "lock-free"),
        ({"loss": "softmax", "mode": "hogwild"}, "lock-free"),
        ({"algorithm": "glove", "loss": "hs"}, "loss of its own"),
        ({"subwords": {"minn": 4, "maxn": 3}}, "1 <= minn"),
        ({"subwords": {"minn": 1, "maxn": 3}, "loss": "hs"}, "subwords"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message, text):
    with pytest.raises(ValueError, match=message):
        config(text, **changes)


def test_nothing_to_count_is_an_error_and_leaves_nothing(tmp_path):
    lonely = tmp_path / "lonely.txt"
    lonely.write_text("one\ntwo\n" * 10)
    with pytest.raises(CorpusError, match="near each other"):
        train_embeddings.run(config(lonely, algorithm="glove"), tmp_path / "run", on_event=ignore)
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_too_large_for_exact_softmax_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.setattr("rnncli.embeddings.train_softmax.LARGEST_VOCABULARY", 10)
    with pytest.raises(ConfigError, match="max_vocab"):
        train_embeddings.run(config(text, loss="softmax"), Path(tmp_path / "run"))


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(text, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnncli.embeddings.algorithms.count_cooccurrences", full)
    with pytest.raises(RnncliError, match="No space left on device; free some space"):
        train_embeddings.run(config(text, algorithm="glove"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
