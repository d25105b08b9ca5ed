"""Regressors: each kind of input learns, predicts in the scale of the data, and comes back from its file as it was."""

import json
from pathlib import Path

import numpy as np
import pytest

from rnncli.artifacts.run_directory import RunDirectory
from rnncli.config.regression import RegressorConfig
from rnncli.data.forecast import read_table
from rnncli.errors import CorpusError, UsageError
from rnncli.pipelines import evaluate, predict, train_regressor, training_run
from rnncli.pipelines.models import load_recurrent

SERIES = Path(__file__).parents[2] / "sample_data" / "series.csv"


def recipe(data, **more):
    base = {
        "data": data,
        "embeddings": {"dim": 8},
        "model": {"cell": "gru", "hidden_size": 12},
        "training": {"epochs": 6, "batch_size": 16, "lr": 1e-2, "patience": 0},
    }
    for section, values in more.items():
        base[section] = {**base.get(section, {}), **values}
    return RegressorConfig.model_validate(base)


def forecast(**more):
    data = {
        "input": "forecast",
        "train": SERIES,
        "targets": ["value"],
        "channels": ["value", "driver"],
        "window": 24,
        "horizon": 4,
    }
    return recipe(data | more, training={"epochs": 6, "lr": 5e-3})


@pytest.fixture
def texts(tmp_path):
    """The number is three times the count of `plus` less the count of `minus`, and a hundred."""
    random = np.random.default_rng(0)
    lines = ["label\ttext"]
    for _ in range(300):
        words = random.choice(["plus", "minus", "so"], 6)
        lines.append(f"{100 + 3 * (words == 'plus').sum() - 3 * (words == 'minus').sum()}\t{' '.join(words)}")
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "t.tsv"


@pytest.fixture
def series(tmp_path):
    random = np.random.default_rng(1)
    with (tmp_path / "s.jsonl").open("w") as file:
        for _ in range(300):
            x = random.normal(5, 2, (random.integers(1, 6), 2)).round(3)
            file.write(
                json.dumps({"series": x.tolist(), "label": [float(x[-1, 0]), 1000 + 10 * float(x[-1, 1])]}) + "\n"
            )
    return tmp_path / "s.jsonl"


def test_texts(tmp_path, texts):
    result = train_regressor.run(recipe({"train": texts}, training={"epochs": 15}), tmp_path / "r")
    assert result.valid["r2"] > 0.95
    assert result.valid["mse"] < 0.05 * result.valid["baselines"]["mean"]["mse"]
    row, nothing = predict.run(tmp_path / "r", iter(["plus plus plus so so so", ""]))
    assert row["prediction"] == pytest.approx(109, abs=2)
    assert np.isfinite(nothing["prediction"])
    again = evaluate.run(tmp_path / "r", texts)
    assert again.r2 > 0.95
    assert again.baselines is None


def test_series_of_two_channels_with_two_numbers(tmp_path, series):
    result = train_regressor.run(recipe({"input": "series", "train": series}, training={"epochs": 25}), tmp_path / "r")
    assert result.valid["outputs"] == 2
    assert result.valid["r2"] > 0.9
    (row,) = predict.run(tmp_path / "r", iter(['{"series": [[1, 9], [4, 6]]}']))
    assert row["prediction"] == [pytest.approx(4, abs=1.0), pytest.approx(1060, abs=10)]
    assert evaluate.run(tmp_path / "r", series).r2 > 0.9
    with pytest.raises(CorpusError, match="line 1: 1 channels where the model reads 2"):
        list(predict.run(tmp_path / "r", iter(["1 2 3"])))


@pytest.mark.parametrize("anchor", ["none", "last", "season"])
def test_forecasts(tmp_path, anchor):
    result = train_regressor.run(forecast(anchor=anchor), tmp_path / "r")
    naive = {"none": "mean", "last": "persistence", "season": "seasonal"}[anchor]
    assert result.test["mse"] < 0.9 * result.test["baselines"][naive]["mse"]
    assert set(result.test["baselines"]) == {"mean", "persistence", "seasonal"}
    rows = list(predict.run(tmp_path / "r", iter(SERIES.read_text().splitlines())))
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert set(rows[0]) == {"step", "value"}
    # one step ahead is predictable from the driver: what is foretold must be near, in the scale of the file
    names, values, _ = read_table(SERIES)
    lines = SERIES.read_text().splitlines()
    errors = []
    for end in range(1400, 1490, 10):
        first = next(predict.run(tmp_path / "r", iter(lines[: end + 1])))
        errors.append(first["value"] - values[end, names.index("value")])
    assert np.sqrt(np.mean(np.square(errors))) < values[:, names.index("value")].std()
    with pytest.raises(CorpusError, match="are too few: this model reads the last 24"):
        list(predict.run(tmp_path / "r", iter(lines[:10])))


def test_evaluate_counts_every_window_of_a_table(tmp_path):
    result = train_regressor.run(forecast(anchor="last"), tmp_path / "r")
    whole = evaluate.run(tmp_path / "r", SERIES)
    assert whole.n == 1500 - 24 - 4 + 1
    lines = SERIES.read_text().splitlines()
    (tmp_path / "end.csv").write_text("\n".join([lines[0], *lines[1 + 1200 - 24 :]]) + "\n")
    assert evaluate.run(tmp_path / "r", tmp_path / "end.csv").mse == pytest.approx(result.test["mse"], rel=1e-6)


def test_the_probe_needs_no_file(tmp_path):
    data = {"input": "probe", "length": 6, "train_rows": 3000, "valid_rows": 200, "test_rows": 200}
    result = train_regressor.run(recipe(data), tmp_path / "r")
    assert result.test["mse"] < 0.02
    assert result.test["baselines"]["mean"]["mse"] == pytest.approx(1 / 6, abs=0.04)
    (row,) = predict.run(tmp_path / "r", iter(["0.5:1 0.1:0 0.3:0 0.2:0 0.4:1 0.9:0"]))
    assert row["prediction"] == pytest.approx(0.9, abs=0.35)


def test_a_regressor_comes_back_from_its_file_as_it_was(tmp_path):
    train_regressor.run(forecast(anchor="season"), tmp_path / "r")
    model = load_recurrent(tmp_path / "r")
    again = type(model).from_stored(model.to_tensors(), json.loads(json.dumps(model.to_meta())))
    assert again.to_meta() == model.to_meta()
    table = read_table(SERIES, model.channels)[1]
    np.testing.assert_array_equal(again.foretell(table), model.foretell(table))


def test_a_killed_and_resumed_run_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    config = forecast(anchor="last")
    whole = train_regressor.run(config, tmp_path / "whole")
    kept = RunDirectory.append_history

    def stop(self, row):
        kept(self, row)
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "append_history", stop)
    with pytest.raises(Exception, match="interrupted"):
        train_regressor.run(config, tmp_path / "cut")
    monkeypatch.setattr(RunDirectory, "append_history", kept)
    assert train_regressor.run(config, tmp_path / "cut", resume=True).model_sha256 == whole.model_sha256


@pytest.mark.parametrize(
    ("data", "more", "message"),
    [
        ({"input": "forecast"}, {}, "train: required key is missing"),
        ({"input": "probe", "train": "x"}, {}, "no meaning for a probe"),
        ({"train": "x", "horizon": 3}, {}, "horizon: has no meaning for input text"),
        ({"input": "forecast", "train": "x", "valid": "y"}, {}, "valid: has no meaning for input forecast"),
    ],
)
def test_keys_that_do_not_go_together(data, more, message):
    with pytest.raises(ValueError, match=message):
        recipe(data, **more)


def test_refusals_leave_nothing_behind(tmp_path):
    cases = [
        (forecast(targets=["nope"]), CorpusError, "no channel 'nope'"),
        (forecast(split=(0.9, 0.05, 0.001)), CorpusError, "the test part has no place"),
        (recipe({"input": "probe"}, training={"class_weights": "balanced"}), UsageError, "no meaning for numbers"),
        (recipe({"input": "probe"}, model={"head": "binary"}), UsageError, "one head"),
        (recipe({"input": "probe"}, model={"pooling": "max"}, training={"bptt_steps": 5}), UsageError, "pooling last"),
    ]
    for config, error, message in cases:
        with pytest.raises(error, match=message):
            train_regressor.run(config, tmp_path / "r")
        assert not (tmp_path / "r").exists()
