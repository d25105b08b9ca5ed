"""rnncli convert as a shell sees it, and the commands that take any file of word vectors."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from rnncli.artifacts.bundle import ModelFile, load_model, save_model
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.formats import read_vectors
from rnncli.embeddings.model import EmbeddingModel
from rnncli.errors import ArtifactError, UsageError
from rnncli.events import Note
from rnncli.pipelines import convert
from rnncli.pipelines.models import load_embeddings

WORDS = ["the", "größe", "漢字", "7"]
VECTORS = np.array([[1, 0.1, -3], [2, 0.25, 1e-7], [-1, 0, 5], [0.5, 1, 1]], np.float32)
DAMAGED = "5 3\nthe 1 0.1 -3\nthe 9 9 9\nshort 1\nno nan 1 1\na b 1 2 3\n"


def rnncli(*arguments, stdin=None):
    command = [sys.executable, "-m", "rnncli", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=120, env={**os.environ})


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.safetensors"
    vocab = Vocabulary(WORDS, np.array([9, 5, 2, 1]), has_unknown=False)
    embeddings = EmbeddingModel(VECTORS, vocab, Tokenizer("words"))
    save_model(path, ModelFile("embeddings", embeddings.to_tensors(), embeddings.to_meta() | {"config": {"dim": 3}}))
    return path


def assert_holds(path, words=WORDS, vectors=VECTORS):
    found = load_embeddings(path)
    assert found.vocab.tokens == words
    np.testing.assert_array_equal(found.vectors_VE, vectors)


@pytest.mark.parametrize(
    ("name", "to", "start"),
    [
        ("a.bin", None, b"4 3\nthe \x00\x00\x80\x3f"),
        ("a.txt", None, b"4 3\nthe 1 0.1 -3\n"),
        ("a.vec", None, b"4 3\nthe 1 0.1 -3\n"),
        ("a.txt", "glove", b"the 1.0 0.1 -3\n"),
        ("a", "word2vec-bin", b"4 3\nthe \x00"),
        ("a.safetensors", None, None),
        ("odd.name", "rnncli", None),
    ],
)
def test_every_format_and_back(tmp_path, model, name, to, start):
    output = tmp_path / name
    result = convert.run(model, output, to)
    assert (result.words, result.dim, result.source_format) == (4, 3, "rnncli")
    assert start is None or output.read_bytes().startswith(start)
    assert_holds(output)
    back = tmp_path / "back.safetensors"
    assert convert.run(output, back).format == "rnncli"
    assert_holds(back)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted({name, "back.safetensors", "model.safetensors"})


def test_a_run_folder_is_a_model_and_a_copy_keeps_its_meta(tmp_path, model):
    convert.run(tmp_path, tmp_path / "copy.safetensors")
    assert load_model(tmp_path / "copy.safetensors").meta == load_model(model).meta


def test_packed_output_is_the_same_bytes_every_time(tmp_path, model):
    for name in ("a.vec.gz", "b.vec.gz"):
        convert.run(model, tmp_path / name)
    packed = (tmp_path / "a.vec.gz").read_bytes()
    assert packed == (tmp_path / "b.vec.gz").read_bytes()
    assert gzip.decompress(packed).startswith(b"4 3\nthe 1")
    assert_holds(tmp_path / "a.vec.gz")


def test_what_cannot_be_done_is_said_before_work_begins(tmp_path, model):
    (tmp_path / "old.bin").write_bytes(b"old")
    missing = tmp_path / "none"
    for output, to, words in (
        (tmp_path / "old.bin", None, "exists already; --force"),
        (tmp_path / "a.xyz", None, "the suffix names no format; give --to"),
        (tmp_path / "a.safetensors.gz", None, "not compressed"),
        (tmp_path, "glove", "is a folder"),
        (tmp_path / "no" / "a.bin", None, "there is no folder"),
    ):
        with pytest.raises(UsageError, match=words):
            convert.run(missing, output, to)
    with pytest.raises(UsageError, match="no such"):
        convert.run(missing, tmp_path / "a.bin")
    convert.run(model, tmp_path / "old.bin", force=True)
    assert_holds(tmp_path / "old.bin")


def test_a_word_with_a_space_stops_before_the_file_changes(tmp_path):
    source, output = tmp_path / "glove", tmp_path / "out.bin"
    source.write_text("a 1 2\nnew york 3 4\n")
    output.write_bytes(b"old")
    with pytest.raises(ArtifactError, match=r"glove: row 2: the word 'new york' contains white space.*--to rnncli"):
        convert.run(source, output, force=True)
    assert output.read_bytes() == b"old"
    convert.run(source, tmp_path / "out.safetensors")
    assert_holds(tmp_path / "out.safetensors", ["a", "new york"], [[1, 2], [3, 4]])


def test_foreign_safetensors_are_told_apart(tmp_path):
    path = tmp_path / "foreign"
    save_file({"weight": np.zeros((5, 2), np.float32)}, path)
    with pytest.raises(ArtifactError, match=r"a matrix 'weight' of 5 x 2 but no words"):
        load_embeddings(path)
    save_file({"weight": np.zeros((5, 2), np.float32), "bias": np.zeros(2, np.float32)}, path)
    with pytest.raises(ArtifactError, match="did not write"):
        load_embeddings(path)


def test_damage_comes_as_notes(tmp_path):
    path = tmp_path / "damaged.vec"
    path.write_text(DAMAGED)
    events = []
    found = load_embeddings(path, events.append)
    assert found.vocab.tokens == ["the", "a b"]
    assert found.vocab.counts.tolist() == [0, 0]
    assert found.tokenizer == Tokenizer("whitespace", lowercase=False)
    assert all(isinstance(event, Note) and event.text.startswith(f"{path}: 1 line ") for event in events)
    assert len(events) == 4


def test_the_command_tells_rows_dimension_and_damage(tmp_path):
    source = tmp_path / "damaged.vec"
    source.write_text(DAMAGED)
    done = rnncli("convert", source, tmp_path / "a.safetensors")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("2 words x 3  word2vec-text -> rnncli  wrote ")
    assert "note: " in done.stderr.decode()
    assert "repeat a word; the first vector is kept (first: line 3)" in done.stderr.decode()
    done = rnncli("convert", source, tmp_path / "a.safetensors", "--force", "--json", "--quiet")
    result = json.loads(done.stdout)
    assert (result["words"], result["dim"], result["format"], done.stderr) == (2, 3, "rnncli", b"")
    assert result["damage"]["duplicates"] == {"count": 1, "first": 3}
    assert result["damage"]["truncated"] is None
    strict = rnncli("convert", source, tmp_path / "b.safetensors", "--strict")
    assert strict.returncode == 5
    assert strict.stderr.decode().startswith(f"rnncli: error: {source}:3: a word that had a vector already")
    assert not (tmp_path / "b.safetensors").exists()


def test_pipes_both_ways(tmp_path, model):
    done = rnncli("convert", model, "-")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "4 3\nthe 1 0.1 -3\ngröße 2 0.25 1e-7\n漢字 -1 0 5\n7 0.5 1 1\n"
    assert "4 words x 3" in done.stderr.decode()
    again = rnncli("convert", "-", tmp_path / "b.bin", stdin=done.stdout)
    assert again.returncode == 0, again.stderr
    assert_holds(tmp_path / "b.bin")
    for arguments in (["--to", "word2vec-bin"], ["--to", "rnncli"], ["--json"]):
        refused = rnncli("convert", model, "-", *arguments)
        assert (refused.returncode, refused.stdout) == (2, b"")


def test_neighbors_take_any_vector_file(tmp_path, model):
    answers = set()
    for name in ("a.bin", "a.txt", "a.vec.gz"):
        convert.run(model, tmp_path / name)
        done = rnncli("neighbors", tmp_path / name, "the", "-k", "2", "--json")
        assert done.returncode == 0, done.stderr
        answers.add(done.stdout)
    answers.add(rnncli("neighbors", model, "the", "-k", "2", "--json").stdout)
    assert len(answers) == 1


def test_written_files_read_without_damage(tmp_path, model):
    for name in ("a.bin", "a.txt", "a.vec"):
        convert.run(model, tmp_path / name)
        assert not read_vectors(tmp_path / name, strict=True)[2]
