"""Training end to end: learns, repeats itself, resumes exactly, keeps the best, fails cleanly."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from rnncli.config.load import load_config
from rnncli.config.rnn import ClassifierConfig
from rnncli.errors import CorpusError, DivergedError, UsageError
from rnncli.events import CheckpointSaved
from rnncli.pipelines import evaluate, predict, train_classifier, training_run
from rnncli.pipelines.models import load_classifier


def recipe(task, *overrides):
    return load_config(ClassifierConfig, task / "recipe.yaml", overrides).config


def digest(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def test_it_learns_and_writes_a_complete_run(task, tmp_path):
    result = train_classifier.run(recipe(task), tmp_path / "run")
    assert result.test["accuracy"] > 0.9
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert names == {"config.yaml", "history.jsonl", "manifest.json", "metrics.json", "model.safetensors"}
    rows = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["inputs"][0]["sha256"] == hashlib.sha256((task / "train.tsv").read_bytes()).hexdigest()
    assert digest(tmp_path / "run") == result.model_sha256
    assert evaluate.run(tmp_path / "run", task / "test.tsv").accuracy == result.test["accuracy"]


def test_the_resolved_config_trains_the_same_model_again(task, tmp_path):
    first = train_classifier.run(recipe(task, "training.epochs=2"), tmp_path / "a")
    again = load_config(ClassifierConfig, tmp_path / "a" / "config.yaml").config
    assert train_classifier.run(again, tmp_path / "b").model_sha256 == first.model_sha256


def test_another_seed_gives_another_model(task, tmp_path):
    a = train_classifier.run(recipe(task, "training.epochs=1"), tmp_path / "a")
    b = train_classifier.run(recipe(task, "training.epochs=1", "seed=2"), tmp_path / "b")
    assert a.model_sha256 != b.model_sha256


DEEP = ("model.cell=gru", "model.layers=2", "model.bidirectional=true", "model.pooling=attention")
WAYS = {
    "adam": ("training.optimizer=adam",),
    "sgd": ("training.optimizer=sgd", "training.momentum=0.5"),
    "lstm": ("model.cell=lstm", "training.optimizer=rmsprop", "training.schedule=plateau", "training.momentum=0.2"),
    "deep": (*DEEP, "training.optimizer=adamw", "training.schedule=cosine", "training.warmup=0.2", "training.accumulate=3"),
    "weighted": (
        "training.optimizer=adagrad", "training.schedule=linear", "training.class_weights=balanced",
        "training.label_smoothing=0.1", "model.pooling=max", "training.clip_value=0.1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "cell", ["rnn", "relu", "lstm", "gru", pytest.param("gru,model.reset_gate=before", id="gru-before")]
)
@pytest.mark.parametrize("deep", [False, True])
def test_every_cell_learns_the_task(task, tmp_path, cell, deep):
    more = DEEP[1:] if deep else ()
    overrides = (*more, *f"model.cell={cell}".split(","), "training.lr=0.01", "training.epochs=6")
    assert train_classifier.run(recipe(task, *overrides), tmp_path / "run").test["accuracy"] > 0.9


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_and_resumed_run_ends_with_the_same_bytes(task, tmp_path, way, monkeypatch):
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    config = recipe(task, *WAYS[way], "training.lr=0.01", "threads=2")
    whole = train_classifier.run(config, tmp_path / "whole")

    class KilledError(Exception):
        pass

    def kill_after_two(event):
        if isinstance(event, CheckpointSaved) and event.epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train_classifier.run(config, tmp_path / "cut", on_event=kill_after_two)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    one_thread = config.model_copy(update={"threads": 1})
    resumed = train_classifier.run(one_thread, tmp_path / "cut", resume=True)
    assert resumed.model_sha256 == whole.model_sha256
    assert (tmp_path / "cut" / "history.jsonl").read_bytes() == (tmp_path / "whole" / "history.jsonl").read_bytes()
    other = recipe(task, *WAYS[way], "training.lr=0.02", "threads=2")
    with pytest.raises(KilledError):
        train_classifier.run(config, tmp_path / "cut", force=True, on_event=kill_after_two)
    with pytest.raises(UsageError, match=r"training\.lr"):
        train_classifier.run(other, tmp_path / "cut", resume=True)


def test_the_best_epoch_is_kept_and_patience_stops(task, tmp_path):
    config = recipe(task, "training.epochs=30", "training.patience=2", "training.lr=0.02")
    result = train_classifier.run(config, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    scores = [(row["valid_accuracy"], -row["valid_loss"]) for row in rows]
    assert result.best_epoch == 1 + int(np.argmax([s[0] * 1e6 + s[1] for s in scores]))
    assert result.epochs == result.best_epoch + 2 or result.epochs == 30
    assert result.valid["loss"] == pytest.approx(rows[result.best_epoch - 1]["valid_loss"], rel=1e-12)


def test_divergence_is_an_error_and_leaves_no_half_run(task, tmp_path):
    config = recipe(task, "model.cell=relu", "training.optimizer=sgd", "training.lr=1e9", "training.clip_norm=0")
    with pytest.raises(DivergedError, match="epoch 1"):
        train_classifier.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_single_label_is_refused(task, tmp_path):
    (tmp_path / "one.tsv").write_text("label\ttext\nx\ta b\nx\tc d\n")
    with pytest.raises(CorpusError, match="two labels"):
        train_classifier.run(recipe(task, f"data.train={tmp_path}/one.tsv"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_a_valid_file_a_stratified_share_is_held_out(task, tmp_path):
    result = train_classifier.run(recipe(task, "data.valid=null", "training.epochs=1"), tmp_path / "run")
    assert result.valid["n"] == 30


def test_predictions_do_not_depend_on_the_other_lines(task, tmp_path):
    train_classifier.run(recipe(task, "training.epochs=1"), tmp_path / "run")
    texts = ["good film", "", "the film was bad and so on and on", "never seen words", "bad"]
    together = list(predict.run(tmp_path / "run", texts))
    assert len(together) == len(texts)
    assert [next(predict.run(tmp_path / "run", [text])) for text in texts] == together
    for row in together:
        assert sum(row["probabilities"].values()) == pytest.approx(1.0, rel=1e-12)
        assert row["probability"] == max(row["probabilities"].values())


def test_stored_tensors_load_into_torch_as_they_are(task, tmp_path):
    torch = pytest.importorskip("torch")
    from rnncli.artifacts.bundle import load_model

    train_classifier.run(recipe(task, "training.epochs=1"), tmp_path / "run")
    stored = load_model(tmp_path / "run")
    peer = torch.nn.RNN(12, 20, batch_first=True)
    peer.load_state_dict(
        {k.removeprefix("rnn."): torch.from_numpy(v.copy()) for k, v in stored.tensors.items() if k.startswith("rnn.")}
    )
    classifier = load_classifier(tmp_path / "run")
    ids = classifier.encode(["the film was good"]).ids
    x = torch.from_numpy(stored.tensors["embedding.weight"][ids])[None]
    last = peer(x)[1][0, 0].detach().numpy()
    z = stored.tensors["head.weight"] @ last + stored.tensors["head.bias"]
    ours = next(predict.run(tmp_path / "run", ["the film was good"]))["probabilities"]["good"]
    assert ours == pytest.approx(1 / (1 + np.exp(-z[0])), abs=1e-6)
