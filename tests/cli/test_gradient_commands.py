"""inspect-gradients and check-gradients as a shell sees them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest


def rnncli(*arguments, **environment):
    command = [sys.executable, "-m", "rnncli", *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=env, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradients")
    lines = ["label\ttext"] + [f"{'yes' if i % 2 else 'no'}\tthing {i % 2} {'x ' * (i % 9)}" for i in range(80)]
    (folder / "train.tsv").write_text("\n".join(lines) + "\n")
    (folder / "recipe.yaml").write_text(
        f"data: {{train: {folder}/train.tsv}}\nembeddings: {{dim: 6}}\nmodel: {{hidden_size: 6}}\ntraining: {{epochs: 1}}\n"
    )
    done = rnncli("train-classifier", "-c", folder / "recipe.yaml", "-o", folder / "run", "-q")
    assert done.returncode == 0, done.stderr
    return folder


def test_inspection_prints_a_verdict_and_strict_json(folder):
    text = rnncli("inspect-gradients", folder / "run", folder / "train.tsv")
    assert text.returncode == 0, text.stderr
    assert text.stdout.startswith("VERDICT: ")
    assert "of dW_hh" in text.stdout
    assert max(map(len, text.stdout.splitlines())) <= 80
    report = json.loads(rnncli("inspect-gradients", folder / "run", folder / "train.tsv", "--json").stdout)
    assert report["schema_version"] == 1
    assert report["input"]["sequences"] == 80
    assert len(report["layers"][0]["lag"]["lags"]) == report["input"]["longest"]


def test_the_same_json_at_any_thread_count(folder):
    one, four = (
        rnncli("inspect-gradients", folder / "run", folder / "train.tsv", "--json", "--threads", n) for n in (1, 4)
    )
    assert one.stdout == four.stdout


def test_an_ascii_terminal_gets_ascii(folder):
    done = rnncli("inspect-gradients", folder / "run", folder / "train.tsv", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()


def test_fail_on(folder):
    shrink = folder / "shrunk"
    sets = ["--set", "training.lr=1e-9", "--set", "model.init=uniform", "--set", "model.hidden_size=40"]
    assert rnncli("train-classifier", "-c", folder / "recipe.yaml", "-o", shrink, "-q", *sets).returncode == 0
    arguments = ("inspect-gradients", shrink, folder / "train.tsv", "--need", 8)
    report = json.loads(rnncli(*arguments, "--json").stdout)
    trouble = [f for f in report["verdict"]["findings"] if f["label"] == "vanishing" and f["severity"] >= 2]
    done = rnncli(*arguments, "--fail-on", "vanishing,exploding")
    assert done.returncode == (3 if trouble else 0)
    assert rnncli(*arguments, "--fail-on", "nonsense").returncode == 2


def test_bad_input(folder):
    done = rnncli("inspect-gradients", folder / "gone", folder / "train.tsv")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    (folder / "empty.tsv").write_text("label\ttext\nyes\t\n")
    done = rnncli("inspect-gradients", folder / "run", folder / "empty.tsv")
    assert (done.returncode, len(done.stderr.splitlines())) == (5, 1)


def test_files_beside_the_document(folder, tmp_path):
    arguments = ("inspect-gradients", folder / "run", folder / "train.tsv", "--level", "deep", "--json")
    files = ("--html", tmp_path / "page.html", "--figures", tmp_path / "figures", "--matrix", tmp_path / "m.npz")
    done = rnncli(*arguments, *files)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert {"p1_lag_curve.svg", "p5_lyapunov.svg"} <= {file.name for file in (tmp_path / "figures").iterdir()}
    with np.load(tmp_path / "m.npz") as stored:
        matrix = stored["L0_forward.norm_log10"]
        assert matrix.dtype == np.float32
        assert matrix.shape == (json.loads(done.stdout)["input"]["longest"], stored["L0_forward.row"].size)
    gone = rnncli(*arguments, "--matrix", folder / "no" / "such" / "m.npz")
    assert (gone.returncode, len(gone.stderr.splitlines())) == (1, 1)


def test_lessons_and_explanations(folder):
    lesson = rnncli("inspect-gradients", "--demo", "delay-line")
    assert lesson.returncode == 0, lesson.stderr
    assert max(map(len, lesson.stdout.splitlines())) <= 80
    assert json.loads(rnncli("inspect-gradients", "--demo", "textbook", "--json").stdout)
    done = rnncli("inspect-gradients", folder / "run", folder / "train.tsv", "--explain")
    assert "THE RULES, ONE BY ONE" in done.stdout
    assert rnncli("inspect-gradients", "--demo", "nonsense").returncode == 2
    for idle in (("--level", "deep"), ("--seed", "0"), ("--set", "model.cell=lstm"), ("--as-trained",)):
        refused = rnncli("inspect-gradients", "--demo", "textbook", *idle)
        assert refused.returncode == 2
        assert idle[0] in refused.stderr


def test_every_cell_fits_eighty_columns(folder):
    for cell in ("lstm", "gru"):
        sets = ("--set", f"model.cell={cell}", "--set", "model.layers=2", "--set", "model.bidirectional=true")
        done = rnncli("inspect-gradients", "--probe", "recall", "--length", 6, *sets)
        assert done.returncode == 0, done.stderr
        assert max(map(len, done.stdout.splitlines())) <= 80, done.stdout


def test_truncated_training_is_cut(folder):
    sets = ("--set", "training.bptt_steps=4")
    arguments = ("inspect-gradients", "--probe", "recall", "--length", 9, *sets)
    assert rnncli(*arguments).stdout.startswith("VERDICT: CUT")
    assert rnncli(*arguments, "--fail-on", "cut").returncode == 3


@pytest.mark.parametrize("cell", ["rnn", "relu"])
def test_check_gradients_passes_below_and_fails_above_its_tolerance(folder, cell):
    arguments = ("check-gradients", "-c", folder / "recipe.yaml", "--set", f"model.cell={cell}")
    good = rnncli(*arguments, "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["worst"] < 1e-6
    strict = rnncli(*arguments, "--tolerance", "1e-300")
    assert strict.returncode == 3
    assert len(strict.stderr.splitlines()) == 1


def test_check_gradients_takes_a_config_that_names_a_recipe(folder):
    (folder / "check.yaml").write_text(f"config: {folder}/recipe.yaml\nsequences: 2\n")
    assert rnncli("check-gradients", "-c", folder / "check.yaml").returncode == 0


@pytest.mark.parametrize(
    "idle",
    [
        ("--seeds", 7), ("--arms", "lstm"), ("--epochs", 2), ("--length", 9), ("--set", "model.cell=lstm"),
        ("--explain", "--json"), ("--figure-format", "png"), ("--fail-on", ","), ("--demo", "textbook"),
        ("--prove", "--arms", "lstm,lstm"),
    ],
)  # fmt: skip
def test_an_option_that_would_do_nothing_is_refused(folder, idle):
    done = rnncli("inspect-gradients", folder / "run", folder / "train.tsv", *idle)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


def test_truncation_at_the_ends_of_rows_has_no_windows_to_count():
    arguments = ("inspect-gradients", "--probe", "recall", "--length", 9, "--set", "training.bptt_steps=4")
    done = rnncli(*arguments, "--as-trained")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_kind_decides_where_several_fit(folder):
    rated = folder / "rated.tsv"
    rated.write_text("label\ttext\n" + "".join(f"{i % 5}\tthing {i % 5}\n" for i in range(60)))
    recipe = folder / "rated.yaml"
    recipe.write_text(f"data: {{train: {rated}}}\nembeddings: {{dim: 4}}\nmodel: {{hidden_size: 4}}\n")
    done = rnncli("inspect-gradients", recipe)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert all(word in done.stderr for word in ("classifier", "regressor", "--kind"))
    for kind in ("classifier", "regressor"):
        done = rnncli("inspect-gradients", recipe, "--kind", kind, "--level", "quick", "--json")
        assert json.loads(done.stdout)["architecture"]["task"] == kind, done.stderr
    for idle in (
        (folder / "run", "--kind", "tagger"),
        ("--probe", "recall", "--kind", "tagger"),
        (recipe, "--kind", "no"),
    ):
        assert rnncli("inspect-gradients", *idle).returncode == 2
    (folder / "inspect.yaml").write_text("kind: regressor\nlevel: quick\n")
    done = rnncli("inspect-gradients", recipe, "-c", folder / "inspect.yaml", "--json")
    assert json.loads(done.stdout)["architecture"]["task"] == "regressor"


def test_spaces_between_verdicts(folder):
    assert (
        rnncli("inspect-gradients", folder / "run", folder / "train.tsv", "--fail-on", "exploding, cut").returncode == 0
    )
