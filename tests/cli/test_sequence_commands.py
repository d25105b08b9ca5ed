"""train-tagger, train-lm, generate and several labels as a shell sees them: exit codes, streams, threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TAGGER = (
    "data: {{train: {root}/sample_data/tagged.train.tsv}}\nembeddings: {{dim: 8, feature_dim: 4}}\n"
    "model: {{hidden_size: 8, cell: lstm, dropout: 0.2}}\ntraining: {{epochs: 2, batch_size: 64}}\n"
)
LANGUAGE = (
    "data: {{train: {root}/sample_data/corpus.txt, tokenizer: {tokenizer}}}\nembeddings: {{dim: 24}}\n"
    "model: {{hidden_size: 24, cell: gru, tie_weights: {tied}, dropout: 0.1}}\n"
    "training: {{epochs: 1, batch_size: 48, bptt_steps: 40, lr: 1e-2}}\n"
)


def rnncli(*arguments, stdin=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "rnncli", *map(str, arguments)],
        input=stdin, capture_output=True, text=True, encoding="utf-8", env={**os.environ, **environment}, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sequences")
    (folder / "tagger.yaml").write_text(TAGGER.format(root=ROOT))
    (folder / "words.yaml").write_text(LANGUAGE.format(root=ROOT, tokenizer="words", tied="true"))
    (folder / "chars.yaml").write_text(LANGUAGE.format(root=ROOT, tokenizer="chars", tied="false"))
    for command, name in (("train-tagger", "tagger"), ("train-lm", "chars"), ("train-lm", "words")):
        done = rnncli(command, "-c", folder / f"{name}.yaml", "-o", folder / name, "-q", "--json")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        (folder / f"{name}.json").write_text(done.stdout)
    return folder


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(
    ("command", "name"), [("train-tagger", "tagger"), ("train-lm", "chars"), ("train-lm", "words")]
)
def test_the_same_bytes_at_any_thread_count(folder, tmp_path, command, name, threads):
    done = rnncli(
        command, "-c", folder / f"{name}.yaml", "-o", tmp_path / "r", "--threads", threads, "--json", "-q",
        NUMBA_NUM_THREADS=str(threads),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model_sha256"] == json.loads((folder / f"{name}.json").read_text())["model_sha256"]


def test_what_training_says(folder, tmp_path):
    done = rnncli("train-tagger", "-c", folder / "tagger.yaml", "-o", tmp_path / "r")
    assert "valid token accuracy 0." in done.stdout
    assert "a sentence of" in done.stderr
    assert "span" not in done.stdout
    done = rnncli("train-lm", "-c", folder / "chars.yaml", "-o", tmp_path / "s")
    assert "perplexity" in done.stdout
    assert "bits per character" in done.stdout
    assert "held out the last" in done.stderr


def test_tags_and_scores_on_standard_output(folder):
    done = rnncli("predict", folder / "tagger", stdin="The cook can cook .\n\nA dog\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [len(row["labels"]) for row in rows] == [5, 0, 2]
    assert rows[2]["tokens"] == ["A", "dog"]
    done = rnncli("evaluate", folder / "tagger", ROOT / "sample_data" / "tagged.test.tsv")
    assert done.stdout.startswith("150 sentences  1,147 tokens  accuracy 0.")
    scores = json.loads(rnncli("evaluate", folder / "words", ROOT / "sample_data" / "corpus.txt", "--json").stdout)
    assert scores["unit"] == "word"
    assert scores["perplexity"] > 1


def test_generate_is_repeatable_and_takes_its_prompt_from_a_pipe(folder):
    one = rnncli("generate", folder / "chars", "The ", "--length", 40, "--seed", 5)
    assert one.returncode == 0, one.stderr
    assert one.stdout.startswith("The ")
    assert len(one.stdout) == len("The ") + 40 + 1
    piped = rnncli("generate", folder / "chars", "-", "--length", 40, "--seed", 5, stdin="The \n")
    assert piped.stdout == one.stdout
    assert rnncli("generate", folder / "chars", "The ", "--length", 40, "--seed", 6).stdout != one.stdout
    new = rnncli("generate", folder / "chars", "The ", "--length", 40, "--seed", 5, "--only-new")
    assert "The " + new.stdout == one.stdout
    as_json = json.loads(rnncli("generate", folder / "chars", "The ", "-n", 40, "--seed", 5, "--json").stdout)
    assert as_json == {"prompt": "The ", "text": new.stdout[:-1], "seed": 5}
    words = rnncli("generate", folder / "words", "the", "--top-k", 3, "--stop-at-line", "--only-new").stdout
    assert words.count("\n") == 1


def test_a_reader_that_has_seen_enough_ends_generation_quietly(folder):
    command = f'"{sys.executable}" -m rnncli generate "{folder / "chars"}" The --length 3000 | head -c 20'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert len(done.stdout) == 20


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("generate", "{f}/tagger"), 5, "is a tagger; this command needs a language model"),
        (("predict", "{f}/chars"), 2, "rnncli generate"),
        (("generate", "{f}/nothing"), 2, "no such model"),
        (("generate", "{f}/chars", "--top-p", "1.5"), 2, "--top-p"),
        (("train-lm", "-o", "{f}/new"), 2, "data.train: required key is missing"),
        (("train-tagger", "-c", "{f}/tagger.yaml", "-o", "{f}/n", "--set", "data.train={f}/no.tsv"), 2, "no.tsv"),
        (("train-tagger", "-c", "{f}/tagger.yaml", "-o", "{f}/n", "--set", "data.features=[sufix2]"), 2, "suffix2"),
    ],
)
def test_errors_are_one_line(folder, arguments, code, part):
    done = rnncli(*(str(a).format(f=folder) for a in arguments))
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
    assert done.returncode == code, done.stderr
    assert len(lines) == 1
    assert part in lines[0], lines[0]
    assert not (folder / "n").exists()
