"""train-classifier, predict and evaluate as a shell sees them: exit codes, streams, files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = "data: {{train: {folder}/train.tsv, valid_fraction: 0.2}}\nembeddings: {{dim: 8}}\nmodel: {{hidden_size: 8}}\n"


def rnncli(*arguments, stdin=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "rnncli", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    lines = ["label\ttext"] + [
        f"{'yes' if i % 3 else 'no'}\t{'fine' if i % 3 else 'poor'} thing {i % 7}" for i in range(90)
    ]
    (folder / "train.tsv").write_text("\n".join(lines) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder) + "training: {epochs: 6, lr: 3e-2}\n")
    done = rnncli("train-classifier", "-c", folder / "recipe.yaml", "-o", folder / "run", "-q")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


def one_line(done, code, *parts):
    """Exit code, nothing on stdout, one line on stderr that holds every part."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert str(part) in lines[0], lines[0]


@pytest.mark.parametrize("threads", [2, 4])
def test_the_same_bytes_at_any_thread_count(folder, tmp_path, threads):
    done = rnncli(
        "train-classifier", "-c", folder / "recipe.yaml", "-o", tmp_path / "r", "--threads", threads, "--json"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    one = rnncli("train-classifier", "-c", folder / "recipe.yaml", "-o", tmp_path / "s", "--threads", 1, "--json")
    assert json.loads(one.stdout)["model_sha256"] == result["model_sha256"]
    assert (tmp_path / "r/model.safetensors").read_bytes() == (tmp_path / "s/model.safetensors").read_bytes()
    assert json.loads((tmp_path / "r/manifest.json").read_text())["threads"] == threads


def test_predict_gives_one_object_per_line(folder):
    done = rnncli("predict", folder / "run", stdin="fine thing 1\n\npoor thing 2\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert done.stderr == ""
    assert [row["label"] for row in rows][::2] == ["yes", "no"]
    assert set(rows[0]["probabilities"]) == {"yes", "no"}


def test_predict_takes_jsonl_and_a_model_file_alone(folder, tmp_path):
    model = tmp_path / "alone.safetensors"
    model.write_bytes((folder / "run/model.safetensors").read_bytes())
    (tmp_path / "in.jsonl").write_text('{"text": "fine thing 1"}\n{"text": "poor thing 2"}\n')
    done = rnncli("predict", model, tmp_path / "in.jsonl")
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["yes", "no"]


def test_predict_line_by_line_answers_while_the_pipe_is_open(folder):
    command = [sys.executable, "-m", "rnncli", "predict", str(folder / "run"), "-", "--line-by-line"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("fine thing 3\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["label"] == "yes"
        process.stdin.close()
        assert process.wait(30) == 0


def test_evaluate_prints_a_table_or_strict_json(folder):
    text = rnncli("evaluate", folder / "run", folder / "train.tsv")
    assert text.returncode == 0
    assert "accuracy 1.0000" in text.stdout
    assert "macro average" in text.stdout
    result = json.loads(rnncli("evaluate", folder / "run", folder / "train.tsv", "--json").stdout)
    assert result["n"] == 90
    assert result["confusion"] == [[30, 0], [0, 60]]


def test_progress_as_json_lines(folder, tmp_path):
    arguments = ("train-classifier", "-c", folder / "recipe.yaml", "-o", tmp_path / "r", "--progress", "jsonl")
    done = rnncli(*arguments)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [e["epoch"] for e in events if e["event"] == "epoch_done"] == [1, 2, 3, 4, 5, 6]


def test_a_folder_in_use_is_refused_and_force_overwrites(folder, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r/mine.txt").write_text("precious")
    arguments = ("train-classifier", "-c", folder / "recipe.yaml", "-o", tmp_path / "r")
    one_line(rnncli(*arguments), 2, "--resume", "--force")
    assert rnncli(*arguments, "--force").returncode == 0
    assert (tmp_path / "r/mine.txt").read_text() == "precious"


def test_wrong_key(folder, tmp_path):
    (tmp_path / "bad.yaml").write_text((folder / "recipe.yaml").read_text() + "modle: {}\n")
    done = rnncli("train-classifier", "-c", tmp_path / "bad.yaml", "-o", tmp_path / "r")
    one_line(done, 2, "bad.yaml:5", "modle", "model")
    assert not (tmp_path / "r").exists()


def test_missing_file(folder, tmp_path):
    done = rnncli(
        "train-classifier", "-c", folder / "recipe.yaml", "-o", tmp_path / "r", "--set", "data.train=gone.tsv"
    )
    one_line(done, 2, "gone.tsv")
    assert not (tmp_path / "r").exists()
    one_line(rnncli("predict", tmp_path / "nothing"), 2, "nothing")
    one_line(rnncli("evaluate", folder / "run", tmp_path / "gone.tsv"), 2, "gone.tsv")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["bad.tsv"]),
        (b"label\ttext\n", ["bad.tsv"]),
        (b"label\ttext\nyes\tfine\n\tpoor\nno\tpoor\n", ["bad.tsv:3", "label"]),
        (b"label\ttext\nyes\tfine\nno\n", ["bad.tsv:3"]),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00\n" * 40, ["bad.tsv", "binary"]),
        (b"label\ttext\nyes\tfi\xffne\n", ["bad.tsv:2", "UTF-8"]),
    ],
    ids=["empty", "header only", "label missing", "field missing", "binary", "not UTF-8"],
)
def test_bad_training_data(folder, tmp_path, content, parts):
    (tmp_path / "bad.tsv").write_bytes(content)
    arguments = ("train-classifier", "-c", folder / "recipe.yaml", "-o", tmp_path / "r")
    one_line(rnncli(*arguments, "--set", f"data.train={tmp_path}/bad.tsv"), 5, *parts)
    assert not (tmp_path / "r").exists()


def test_damaged_model_file(folder, tmp_path):
    damaged = bytearray((folder / "run/model.safetensors").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "bad.safetensors").write_bytes(damaged)
    one_line(rnncli("predict", tmp_path / "bad.safetensors", stdin="x\n"), 5, "bad.safetensors", "damaged")
    (tmp_path / "cut.safetensors").write_bytes(damaged[:1000])
    one_line(rnncli("predict", tmp_path / "cut.safetensors", stdin="x\n"), 5, "cut.safetensors")


def test_divergence_ends_with_its_own_code(folder, tmp_path):
    settings = ["model.cell=relu", "training.optimizer=sgd", "training.lr=1e9", "training.clip_norm=0"]
    sets = [word for s in settings for word in ("--set", s)]
    done = rnncli("train-classifier", "-c", folder / "recipe.yaml", "-o", tmp_path / "r", "-q", *sets)
    one_line(done, 4, "diverged", "training.lr")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_the_last_epoch_and_resume_ends_with_the_same_bytes(folder, tmp_path, number, code):
    base = ["train-classifier", "-c", str(folder / "recipe.yaml"), "--set", "training.epochs=150"]
    base += ["--set", "training.patience=0"]
    command = [sys.executable, "-m", "rnncli", *base, "-o", str(tmp_path / "cut"), "--progress", "jsonl"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if '"checkpoint_saved"' in line:
                process.send_signal(number)
                break
        _, rest = process.communicate(timeout=60)
        assert process.returncode == code, rest
    assert "--resume" in rest.splitlines()[-1]
    assert not (tmp_path / "cut/model.safetensors").exists()
    assert rnncli(*base, "-o", tmp_path / "cut", "--resume", "-q").returncode == 0
    assert rnncli(*base, "-o", tmp_path / "whole", "-q").returncode == 0
    assert (tmp_path / "cut/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_hard_kill_at_any_moment_resumes_to_the_same_bytes(folder, tmp_path):
    base = ["train-classifier", "-c", str(folder / "recipe.yaml"), "--set", "training.epochs=60"]
    base += ["--set", "training.patience=0", "-q"]
    assert rnncli(*base, "-o", tmp_path / "whole").returncode == 0
    for delay in (0.9, 1.1, 1.3):
        command = [sys.executable, "-m", "rnncli", *base, "-o", str(tmp_path / "cut"), "--resume"]
        with subprocess.Popen(command) as process:
            time.sleep(delay)
            process.kill()
    assert rnncli(*base, "-o", tmp_path / "cut", "--resume").returncode == 0
    for name in ("model.safetensors", "history.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_labels_that_look_like_booleans_stay_text(folder):
    assert json.loads(rnncli("evaluate", folder / "run", folder / "train.tsv", "--json").stdout)["labels"] == [
        "no",
        "yes",
    ]


def test_korean_text_works(real_data: Path, tmp_path):
    import gzip

    lines = gzip.decompress((real_data / "nsmc30k/train.tsv.gz").read_bytes()).decode().split("\n")[:400]
    (tmp_path / "ko.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "ko.yaml").write_text(
        f"data: {{train: {tmp_path}/ko.tsv, tokenizer: chars}}\nmodel: {{hidden_size: 8}}\ntraining: {{epochs: 1}}\n"
    )
    done = rnncli("train-classifier", "-c", tmp_path / "ko.yaml", "-o", tmp_path / "r", "-q")
    assert done.returncode == 0, done.stderr
    row = json.loads(rnncli("predict", tmp_path / "r", stdin="영구 그는 레전드급이다!\n").stdout)
    assert row["label"] in ("positive", "negative")
