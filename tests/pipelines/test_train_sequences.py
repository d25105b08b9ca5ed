"""Taggers, language models and classifiers of several labels: learning, exact resume, the stored model, the options."""

import json
from pathlib import Path

import numpy as np
import pytest

from rnncli.artifacts.run_directory import RunDirectory
from rnncli.config.rnn import ClassifierConfig
from rnncli.config.sequences import LanguageModelConfig, TaggerConfig
from rnncli.errors import ConfigError, CorpusError, UsageError
from rnncli.pipelines import evaluate, predict, train_classifier, train_lm, train_tagger, training_run
from rnncli.pipelines.models import load_recurrent

SAMPLE = Path(__file__).parents[2] / "sample_data"
SMALL = {"dim": 12, "feature_dim": 4}


def tagger(**more):
    recipe = {
        "data": {"train": SAMPLE / "tagged.train.tsv", "test": SAMPLE / "tagged.test.tsv"},
        "embeddings": SMALL,
        "model": {"cell": "gru", "hidden_size": 12},
        "training": {"epochs": 3, "batch_size": 16, "lr": 1e-2},
    }
    for section, values in more.items():
        recipe[section] = {**recipe.get(section, {}), **values}
    return TaggerConfig.model_validate(recipe)


def language(**more):
    recipe = {
        "data": {"train": SAMPLE / "corpus.txt", "max_vocab": 60, "tokenizer": "words"},
        "embeddings": {"dim": 8},
        "model": {"cell": "lstm", "hidden_size": 8},
        "training": {"epochs": 3, "batch_size": 64, "bptt_steps": 30, "lr": 1e-2},
    }
    for section, values in more.items():
        recipe[section] = {**recipe.get(section, {}), **values}
    return LanguageModelConfig.model_validate(recipe)


@pytest.fixture
def several(tmp_path):
    """Texts about food, sport, both or neither."""
    lines = ["label\ttext"]
    for i in range(240):
        food, sport = i % 2, (i // 2) % 2
        words = ["soup" if food else "road", "goal" if sport else "cloud", f"w{i % 7}"]
        lines.append(",".join(["food"] * food + ["sport"] * sport) + "\t" + " ".join(np.roll(words, i)))
    (tmp_path / "several.tsv").write_text("\n".join(lines) + "\n")
    return ClassifierConfig.model_validate(
        {
            "data": {"train": tmp_path / "several.tsv", "label_separator": ","},
            "embeddings": {"dim": 8},
            "model": {"cell": "gru", "hidden_size": 8, "head": "multilabel"},
            "training": {"epochs": 12, "lr": 2e-2},
        }
    )


def test_a_tagger_learns_words_whose_tag_is_in_their_surroundings(tmp_path):
    config = tagger(training={"epochs": 10})
    result = train_tagger.run(config, tmp_path / "r")
    assert result.test["accuracy"] > 0.97
    assert result.test["spans"] is None
    again = evaluate.run(tmp_path / "r", SAMPLE / "tagged.test.tsv")
    assert again.to_json() == result.test
    (one,) = predict.run(tmp_path / "r", iter(["The cook can cook ."]))
    assert one["labels"] == ["DET", "NOUN", "AUX", "VERB", "PUNCT"] or one["labels"][3] in ("NOUN", "VERB")
    assert len(one["probabilities"]) == 5


def test_a_tagger_reads_what_features_say(tmp_path):
    """The label is the other column: with it everything is right, without it nearly nothing."""
    random = np.random.default_rng(0)
    tags = random.integers(0, 4, 900)
    lines = "".join(
        f"w{random.integers(0, 3)}\tp{t}\tB-{t}\n" + ("\n" if i % 9 == 8 else "") for i, t in enumerate(tags)
    )
    (tmp_path / "t.tsv").write_text(lines)
    data = {"train": tmp_path / "t.tsv", "test": None}
    for features, low, high in ((["column:1"], 0.99, 1.01), ([], 0.0, 0.6)):
        config = tagger(data={**data, "features": features}, training={"epochs": 15})
        result = train_tagger.run(config, tmp_path / f"r{len(features)}")
        assert low < result.valid["accuracy"] < high
        assert low < result.valid["spans"]["f1"] < high
    sentences = ["w0\tp2", "w1\tp0", "", "w2\tp3"]
    assert [row["labels"] for row in predict.run(tmp_path / "r1", iter(sentences))] == [["B-2", "B-0"], ["B-3"]]
    with pytest.raises(CorpusError, match="line 1: no column 1"):
        list(predict.run(tmp_path / "r1", iter(["w0"])))


def test_a_label_that_only_the_test_file_has_is_counted_as_wrong(tmp_path):
    (tmp_path / "a.tsv").write_text("x\tA\ny\tB\n\n" * 30)
    (tmp_path / "b.tsv").write_text("x\tA\ny\tC\n\n")
    result = train_tagger.run(tagger(data={"train": tmp_path / "a.tsv", "test": tmp_path / "b.tsv"}), tmp_path / "r")
    assert result.test["accuracy"] == 0.5
    assert np.isfinite(result.test["loss"])


def test_several_labels(tmp_path, several):
    result = train_classifier.run(several, tmp_path / "r")
    assert result.labels == ["food", "sport"]
    assert result.valid["micro"]["f1"] > 0.95
    assert result.valid["confusion"] == []
    rows = list(predict.run(tmp_path / "r", iter(["soup goal", "soup cloud", "road cloud"])))
    assert [row["labels"] for row in rows] == [["food", "sport"], ["food"], []]
    assert set(rows[0]["probabilities"]) == {"food", "sport"}


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("jsonl", '{"label": ["food", "sport"], "text": "soup goal"}\n{"label": [], "text": "road"}\n'),
        ("txt", "__label__food __label__sport soup goal\n__label__food soup\n"),
    ],
)
def test_several_labels_in_other_formats(tmp_path, several, suffix, text):
    train_classifier.run(several, tmp_path / "r")
    (tmp_path / f"t.{suffix}").write_text(text)
    result = evaluate.run(tmp_path / "r", tmp_path / f"t.{suffix}")
    assert result.n == 2
    assert [score.support for score in result.per_class] == ([1, 1] if suffix == "jsonl" else [2, 1])


def test_a_language_model_learns(tmp_path):
    result = train_lm.run(language(), tmp_path / "r")
    rows = [json.loads(line) for line in (tmp_path / "r" / "history.jsonl").read_text().splitlines()]
    assert rows[-1]["valid_perplexity"] < rows[0]["valid_perplexity"] < 62
    assert result.valid["unit"] == "word"
    assert result.labels == []
    model = load_recurrent(tmp_path / "r")
    assert len(model.vocab) == 61
    one_piece = evaluate.run(tmp_path / "r", SAMPLE / "corpus.txt")
    assert one_piece.bits_per_character < one_piece.bits_per_token


@pytest.mark.parametrize("what", ["tagger", "averaged tagger", "language", "tied", "wide", "several"])
def test_a_killed_and_resumed_run_ends_with_the_same_bytes(tmp_path, what, several, monkeypatch):
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    run, config = {
        "tagger": (train_tagger.run, lambda: tagger(model={"dropout": 0.3})),
        "averaged tagger": (train_tagger.run, lambda: tagger(training={"average_best": 2, "patience": 0})),
        "language": (train_lm.run, lambda: language(training={"bptt_stride": 11})),
        "tied": (train_lm.run, lambda: language(model={"tie_weights": True, "layers": 2, "dropout": 0.2})),
        "wide": (
            train_lm.run,
            lambda: language(data={"max_vocab": None, "tokenizer": "words"}, training={"epochs": 2}),
        ),
        "several": (
            train_classifier.run,
            lambda: several.model_copy(update={"training": several.training.model_copy(update={"epochs": 3})}),
        ),
    }[what]
    monkeypatch.setattr("rnncli.rnn.spec.WIDE", 300 if what == "wide" else 2048)
    whole = run(config(), tmp_path / "whole")

    kept = RunDirectory.append_history

    def stop_after_first(self, row):
        kept(self, row)
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "append_history", stop_after_first)
    with pytest.raises(Exception, match="interrupted"):
        run(config(), tmp_path / "cut")
    monkeypatch.setattr(RunDirectory, "append_history", kept)
    again = run(config(), tmp_path / "cut", resume=True)
    assert again.model_sha256 == whole.model_sha256
    assert (tmp_path / "cut" / "history.jsonl").read_text() == (tmp_path / "whole" / "history.jsonl").read_text()


@pytest.mark.parametrize(
    ("run", "config", "error", "match"),
    [
        (train_tagger.run, lambda: tagger(training={"bptt_steps": 5}), UsageError, "one direction"),
        (train_tagger.run, lambda: tagger(data={"features": ["suffix9"]}), ConfigError, "suffix"),
        (train_lm.run, lambda: language(training={"bptt_stride": 40}), UsageError, "no longer than"),
        (train_lm.run, lambda: language(model={"tie_weights": True, "hidden_size": 9}), UsageError, "set both alike"),
        (train_lm.run, lambda: language(training={"class_weights": "balanced"}), UsageError, "class_weights"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(tmp_path, run, config, error, match):
    with pytest.raises(error, match=match):
        run(config(), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_truncated_taggers_and_classifiers_learn(tmp_path, several):
    one_way = {"bidirectional": False}
    result = train_tagger.run(tagger(model=one_way, training={"bptt_steps": 3, "bptt_stride": 2}), tmp_path / "t")
    full = train_tagger.run(tagger(model=one_way), tmp_path / "f")
    assert result.valid["accuracy"] > 0.8
    assert result.model_sha256 != full.model_sha256
    longer = train_tagger.run(tagger(model=one_way, training={"bptt_steps": 1000}), tmp_path / "l")
    tensors = [load_recurrent(tmp_path / name).network.dense.flat for name in "fl"]
    np.testing.assert_array_equal(*tensors)
    assert longer.valid == full.valid
    cut = several.model_copy(update={"training": several.training.model_copy(update={"bptt_steps": 2})})
    assert train_classifier.run(cut, tmp_path / "c").valid["n"] > 0
    with pytest.raises(UsageError, match="go together"):
        train_classifier.run(
            several.model_copy(update={"data": several.data.model_copy(update={"label_separator": None})}),
            tmp_path / "x",
        )
