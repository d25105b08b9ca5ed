"""The main job on sample_data with the committed configs, as the README runs it, and what its results must reach."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnncli.pipelines.models import load_embeddings

ROOT = Path(__file__).parents[2]


def rnncli(*arguments, stdin=None, **environment):
    command = [sys.executable, "-m", "rnncli", *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, encoding="utf-8", env=env, cwd=ROOT, timeout=200
    )


def succeeds(*arguments, stdin=None):
    done = rnncli(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    run = tmp_path_factory.mktemp("sample") / "vectors"
    result = json.loads(succeeds("train-embeddings", "-c", "configs/embeddings.yaml", "-o", run, "--json"))
    assert result["words"] == 710
    return run


@pytest.fixture(scope="module")
def reviews(vectors):
    run = vectors.parent / "reviews"
    setting = f"embeddings.path={vectors}"
    out = succeeds("train-classifier", "-c", "configs/reviews.yaml", "-o", run, "--set", setting, "--json")
    assert json.loads(out)["pretrained_hit_rate"] > 0.9
    return run


def unit_vectors(run):
    model = load_embeddings(run)
    v = model.vectors_VE / np.linalg.norm(model.vectors_VE, axis=1, keepdims=True)
    return model.vocab, v


def ranks(values):
    """Ranks with ties averaged, for Spearman's correlation."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def test_planted_analogies_hold(vectors):
    """3CosAdd (Mikolov et al. 2013) over the whole vocabulary, the three words of the question left out."""
    vocab, v = unit_vectors(vectors)
    right, total = 0, 0
    for line in (ROOT / "sample_data/analogies.txt").read_text().splitlines():
        if line.startswith(":"):
            continue
        a, b, c, d = (vocab.id_of(word.lower()) for word in line.split())
        scores = v @ (v[b] - v[a] + v[c])
        scores[[a, b, c]] = -np.inf
        right, total = right + (int(scores.argmax()) == d), total + 1
    assert total == 400
    assert right / total >= 0.9


def test_planted_similarity_is_ranked(vectors):
    vocab, v = unit_vectors(vectors)
    rows = [line.split("\t") for line in (ROOT / "sample_data/similarity.tsv").read_text().splitlines()[1:]]
    ours = np.array([v[vocab.id_of(a.lower())] @ v[vocab.id_of(b.lower())] for a, b, _ in rows])
    planted = np.array([float(score) for *_, score in rows])
    assert np.corrcoef(ranks(ours), ranks(planted))[0, 1] >= 0.75


def test_neighbours_of_planted_words(vectors):
    out = succeeds("neighbors", vectors, "-", "--json", "-k", 3, stdin="Paris\nnosuchword\n")
    found, missing = (json.loads(line) for line in out.splitlines())
    assert len(found["neighbors"]) == 3
    assert found["neighbors"][0]["similarity"] > 0.4
    assert (missing["found"], missing["neighbors"]) == (False, [])
    assert "paris" in succeeds("neighbors", vectors, "paris").lower()


def test_word_order_is_learned(reviews):
    result = json.loads(succeeds("evaluate", reviews, "sample_data/reviews.test.tsv", "--json"))
    assert result["accuracy"] >= 0.95  # a bag of words stays at 0.5


def test_gradients_of_the_reviews(reviews):
    report = json.loads(
        succeeds("inspect-gradients", reviews, "sample_data/reviews.valid.tsv", "-c", "configs/inspect.yaml", "--json")
    )
    assert report["self_checks"]["share_sum_error"] < 1e-12


def test_topics_recipe(tmp_path):
    out = succeeds("train-classifier", "-c", "configs/topics.yaml", "-o", tmp_path / "run", "--json")
    assert json.loads(out)["test"]["accuracy"] >= 0.9


def test_check_recipe():
    assert "ok" in succeeds("check-gradients", "-c", "configs/check.yaml")


def test_every_config_is_valid():
    files = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "configs").glob("*.yaml"))
    assert succeeds("config", "validate", *files).count(": ok") == len(files)


@pytest.mark.parametrize("threads", [2, 4])
def test_the_same_vectors_at_any_thread_count(vectors, tmp_path, threads):
    base = ["train-embeddings", "-c", "configs/embeddings.yaml", "--set", "epochs=2", "-q"]
    succeeds(*base, "-o", tmp_path / "one", "--threads", 1)
    succeeds(*base, "-o", tmp_path / "more", "--threads", threads)
    assert (tmp_path / "one/model.safetensors").read_bytes() == (tmp_path / "more/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("content", "code", "part"),
    [
        (b"", 5, "empty"),
        (b"one two three\n", 5, "min_count"),
        (b"\x00\x01\x02\n" * 99, 5, "binary"),
        (None, 2, "gone.txt"),
    ],
)
def test_bad_corpora_are_explained_in_one_line(tmp_path, content, code, part):
    path = tmp_path / ("gone.txt" if content is None else "corpus.txt")
    if content is not None:
        path.write_bytes(content)
    done = rnncli("train-embeddings", "--set", f"corpus.paths={path}", "-o", tmp_path / "run", "-q")
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert part in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_corpus_may_come_from_a_pipe(tmp_path):
    text = (ROOT / "sample_data/corpus.txt").read_text()
    sets = ["--set", "corpus.paths=-", "--set", "epochs=1", "--set", "dim=8"]
    out = succeeds("train-embeddings", *sets, "-o", tmp_path / "run", "--json", stdin=text)
    assert json.loads(out)["tokens"] > 70_000


def test_a_killed_embedding_run_resumes_to_the_same_bytes(tmp_path):
    from rnncli.config.embeddings import CorpusConfig, EmbeddingsConfig
    from rnncli.events import CheckpointSaved
    from rnncli.pipelines import train_embeddings

    config = EmbeddingsConfig(corpus=CorpusConfig(paths=[ROOT / "sample_data/corpus.txt"]), dim=12, epochs=3)
    whole = train_embeddings.run(config, tmp_path / "whole")

    class KilledError(Exception):
        pass

    def kill(event):
        if isinstance(event, CheckpointSaved) and event.epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train_embeddings.run(config, tmp_path / "cut", on_event=kill)
    assert train_embeddings.run(config, tmp_path / "cut", resume=True).model_sha256 == whole.model_sha256
    assert (tmp_path / "cut/history.jsonl").read_bytes() == (tmp_path / "whole/history.jsonl").read_bytes()
