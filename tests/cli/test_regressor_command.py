"""train-regressor as a shell sees it: threads, what it says, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ("--set", "training.epochs=2", "--set", "model.hidden_size=12", "--set", "data.window=12", "-q")


def rnncli(*arguments, stdin=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "rnncli", *map(str, arguments)],
        input=stdin, capture_output=True, text=True, encoding="utf-8", cwd=ROOT,
        env={**os.environ, **environment}, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers") / "run"
    done = rnncli("train-regressor", "-c", "configs/forecast.yaml", "-o", folder, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "persistence" in done.stdout
    assert done.stderr == ""
    return folder


@pytest.mark.parametrize("threads", [1, 4])
def test_the_same_bytes_at_any_thread_count(run, tmp_path, threads):
    done = rnncli(
        "train-regressor", "-c", "configs/forecast.yaml", "-o", tmp_path / "r", *SMALL, "--json",
        NUMBA_NUM_THREADS=str(threads),
    )  # fmt: skip
    assert json.loads(done.stdout)["model_sha256"] == json.loads((run / "metrics.json").read_text())["model_sha256"]


def test_predict_evaluate_and_info(run):
    done = rnncli("predict", run, "sample_data/series.csv")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    done = rnncli("evaluate", run, "sample_data/series.csv")
    assert done.stdout.startswith("1,483 rows of 6  MSE ")
    info = json.loads(rnncli("info", run, "--json").stdout)
    assert info["kind"] == "regressor"
    assert info["total"] == sum(row["count"] for row in info["parameters"])


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("predict", "{run}", "nothing.csv"), 2, "nothing.csv"),
        (
            ("train-regressor", "-c", "configs/forecast.yaml", "-o", "{run}/x", "--set", "data.channels=[nope]"),
            5,
            "no column 'nope'",
        ),
        (
            ("train-regressor", "-c", "configs/forecast.yaml", "-o", "{run}/x", "--set", "data.length=5"),
            2,
            "no meaning for input forecast",
        ),
        (("train-regressor", "-o", "{run}/x"), 2, "data"),
    ],
)
def test_errors_are_one_line(run, arguments, code, part):
    done = rnncli(*(argument.format(run=run) for argument in arguments))
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1
    assert part in lines[0]
