"""neighbors, analogy and eval-embeddings as a shell sees them: one line per question, strict JSON, exit codes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from rnncli.artifacts.bundle import ModelFile, save_model
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.model import EmbeddingModel


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


def save(path, seed):
    """Words w0 .. w5 and their partners v0 .. v5, every v a w plus one offset, and noise."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(6, 20))
    vectors = np.concatenate([w, w + rng.normal(size=20)]) + rng.normal(size=(12, 20)) * 0.1
    tokens = [f"w{i}" for i in range(6)] + [f"v{i}" for i in range(6)]
    vocabulary = Vocabulary(tokens, np.arange(12, 0, -1), has_unknown=False)
    model = EmbeddingModel(vectors.astype(np.float32), vocabulary, Tokenizer("words"))
    save_model(path, ModelFile("embeddings", model.to_tensors(), model.to_meta()))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("query")
    save(folder / "a.safetensors", 1)
    save(folder / "b.safetensors", 2)
    questions = [f"w{i} v{i} w{j} v{j}" for i in range(6) for j in range(6) if i != j]
    (folder / "analogies.txt").write_text("\n".join([": pairs", *questions, ": others", "w1 v1 w2 nope"]) + "\n")
    rows = [f"w{i}\tv{j}\t{9 if i == j else 2 + (i + j) % 3}" for i in range(6) for j in range(6)]
    (folder / "pairs.tsv").write_text("\n".join(["one\ttwo\tscore", *rows, "w1\tnope\t5"]) + "\n")
    return folder


def one_line(done, code, *parts):
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for part in parts:
        assert str(part) in done.stderr, done.stderr


def test_an_analogy_in_text_and_json(folder):
    text = rnncli("analogy", folder / "a.safetensors", "w1", "v1", "w2", "-k", 3)
    assert text.returncode == 0, text.stderr
    assert text.stdout.splitlines()[0] == "w1 : v1 = w2 : ?"
    assert text.stdout.splitlines()[2].startswith("v2 ")
    for method in ("add", "mul"):
        done = rnncli("analogy", folder / "a.safetensors", "w1", "v1", "w2", "--top", 3, "--method", method, "--json")
        result = json.loads(done.stdout)
        assert (result["question"], result["found"], result["missing"]) == (["w1", "v1", "w2"], True, [])
        assert result["method"] == method
        assert result["answers"][0]["word"] == "v2"
        assert len(result["answers"]) == 3


def test_analogies_on_standard_input_give_a_line_each(folder):
    stdin = "w1 v1 w2\nw1\tnope  nor\nW1 V1 W3"
    done = rnncli("analogy", folder / "a.safetensors", "-", "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["found"] for row in rows] == [True, False, True]
    assert rows[1]["missing"] == ["nope", "nor"]
    assert rows[2]["answers"][0]["word"] == "v3"
    text = rnncli("analogy", folder / "a.safetensors", "-", "-k", 2, stdin=stdin)
    lines = text.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("w1 v1 w2\tv2 0.")
    assert lines[1] == "w1 nope nor\tno vector for nope, nor"


def test_wrong_analogies(folder):
    model = folder / "a.safetensors"
    done = rnncli("analogy", model, "-", "--json", stdin="w1 v1 w2\nw1 v1 w2\nw1 v1\nw1 v1 w2\n")
    one_line(done, 5, "standard input:3", "three words")
    assert len(done.stdout.splitlines()) == 2
    one_line(rnncli("analogy", model, "w1", "v1"), 2, "three words")
    one_line(rnncli("analogy", model, "w1", "v1", "nope"), 3, "'nope'")
    one_line(rnncli("analogy", folder / "gone", "w1", "v1", "w2"), 2, "gone")
    missing = rnncli("analogy", model, "w1", "v1", "nope", "--json")
    assert json.loads(missing.stdout)["found"] is False
    assert missing.returncode == 0


@pytest.mark.parametrize("command", [["analogy"], ["neighbors"]])
def test_an_answer_comes_while_the_pipe_is_open(folder, command):
    command = [sys.executable, "-m", "rnncli", *command, str(folder / "a.safetensors"), "-", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(2):
            process.stdin.write("w1 v1 w2\n" if "analogy" in command else "w1\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["found"]
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_reader_that_has_seen_enough_ends_it_quietly(folder):
    command = [sys.executable, "-m", "rnncli", "analogy", str(folder / "a.safetensors"), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(b"w1 v1 w2\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"w1 v1 w2\n" * 10)
        process.stdin.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


def test_neighbors_of_words_some_of_which_are_missing(folder):
    done = rnncli("neighbors", folder / "a.safetensors", "-", "--json", "-k", 2, stdin="w1\nnope\n\n W2 \n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["found"] for row in rows] == [True, False, False, True]
    assert rows[3]["query"] == "W2"
    assert [len(row["neighbors"]) for row in rows] == [2, 0, 0, 2]
    # One word of two is missing: an answer, not a failure.
    assert rnncli("neighbors", folder / "a.safetensors", "-", stdin="w1\nnope\n").returncode == 0
    done = rnncli("neighbors", folder / "a.safetensors", "-", stdin="nor\nnope\n")
    one_line(done, 3, "none of the 2 words")


def test_eval_embeddings_prints_tables_or_strict_json(folder):
    files = ("--similarity", folder / "pairs.tsv", "--analogy", folder / "analogies.txt")
    text = rnncli("eval-embeddings", folder / "a.safetensors", *files)
    assert text.returncode == 0, text.stderr
    assert "3CosMul" in text.stdout
    assert "(all)" in text.stdout
    done = rnncli("eval-embeddings", folder / "a.safetensors", *files, "--json")
    result = json.loads(done.stdout)
    (pairs,) = result["similarity"]
    assert (pairs["name"], pairs["pairs"], pairs["oov"], pairs["zero"]["pairs"]) == ("pairs", 36, 1, 37)
    assert pairs["interval"][0] < pairs["spearman"] < pairs["interval"][1]
    analogy = result["analogy"]
    assert (analogy["n"], analogy["oov"], analogy["add"]["zero"]["n"]) == (30, 1, 31)
    assert analogy["accuracy"] == analogy["add"]["skip"]["accuracy"] > 0.5
    assert [(s["name"], s["n"], s["oov"], s["accuracy"] is None) for s in analogy["sections"]] == [
        ("pairs", 30, 0, False),
        ("others", 0, 1, True),
    ]
    assert result["comparison"] is None
    zero = json.loads(rnncli("eval-embeddings", folder / "a.safetensors", *files, "--json", "--oov", "zero").stdout)
    assert zero["analogy"]["accuracy"] == analogy["add"]["zero"]["accuracy"]
    assert zero["similarity"][0]["skip"] == pairs["skip"]
    few = json.loads(rnncli("eval-embeddings", folder / "a.safetensors", *files, "--json", "--restrict", 8).stdout)
    assert (few["words"], few["analogy"]["n"]) == (8, 2)


def test_eval_embeddings_compares_two_models_the_same_at_any_thread_count(folder):
    models = (folder / "a.safetensors", folder / "b.safetensors")
    files = ("--similarity", folder / "pairs.tsv", "--analogy", folder / "analogies.txt", "--bootstrap", 200)
    one = rnncli("eval-embeddings", *models, *files, "--json", "--threads", 1)
    two = rnncli("eval-embeddings", *models, *files, "--json", "--threads", 2)
    assert one.returncode == 0, one.stderr
    assert one.stdout == two.stdout
    result = json.loads(one.stdout)
    difference = result["comparison"]["similarity"][0]["skip"]
    assert difference["first"] == result["similarity"][0]["spearman"]
    assert difference["second"] == result["second"]["similarity"][0]["spearman"]
    assert result["comparison"]["analogy"]["mul"]["zero"]["n"] == 31
    other = rnncli("eval-embeddings", *models, *files, "--json", "--seed", 9)
    assert other.stdout != one.stdout
    text = rnncli("eval-embeddings", *models, *files)
    assert "the first model against the second" in text.stdout


def test_wrong_eval_embeddings(folder, tmp_path):
    model = folder / "a.safetensors"
    one_line(rnncli("eval-embeddings", model), 2, "--similarity", "--analogy")
    one_line(rnncli("eval-embeddings", model, "--similarity", tmp_path / "gone.tsv"), 2, "gone.tsv")
    (tmp_path / "bad.tsv").write_text("a\tb\t1\na\tb\n")
    one_line(rnncli("eval-embeddings", model, "--similarity", tmp_path / "bad.tsv"), 5, "bad.tsv:2")
    one_line(rnncli("eval-embeddings", model, "--analogy", tmp_path / "bad.tsv"), 5, "bad.tsv:1")
