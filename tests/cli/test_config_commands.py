"""rnncli config init, show, validate, schema."""

import json
import os
import threading

import pytest

from rnncli.cli import app
from rnncli.cli.config import ConfigCommand

COMMANDS = [str(command) for command in ConfigCommand]


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line; returns (exit code, standard output, standard error)."""
    for name in ("RNNCLI_SEED", "RNNCLI_THREADS", "RNNCLI_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        code = app.run(["config", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_what_init_writes_validates_as_the_same_command(run, tmp_path, command):
    path = tmp_path / "new.yaml"
    assert run("init", command, "-o", path) == (0, "", "")
    assert run("validate", "-c", path) == (0, f"{path}: ok ({command})\n", "")
    code, out, _ = run("init", command)
    assert (code, out) == (0, path.read_text())


def test_init_does_not_overwrite_without_force(run, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("mine")
    code, out, err = run("init", "train-classifier", "-o", path)
    assert (code, out) == (2, "")
    assert "--force" in err
    assert path.read_text() == "mine"
    assert run("init", "train-classifier", "-o", path, "--force")[0] == 0
    assert run("init", "train-classifier", "-o", tmp_path / "none" / "x.yaml")[0] == 2


def test_show_gives_every_value_and_its_origin(run, tmp_path, monkeypatch):
    path = tmp_path / "c.yaml"
    path.write_text("data:\n  train: a.tsv\n")
    monkeypatch.setenv("RNNCLI_SEED", "4")
    code, out, err = run("show", "-c", path, "--set", "training.lr=1e-2", "--set", "data.label_column=no")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in out.splitlines()}
    assert rows["data.train"] == ["a.tsv", f"file {path}:2"]
    assert rows["training.lr"] == ["0.01", "--set"]
    assert rows["seed"] == ["4", "environment RNNCLI_SEED"]
    assert rows["threads"] == ["0", "default"]
    assert rows["data.label_column"] == ['"no"', "--set"]
    code, out, _ = run("show", "-c", path, "--json")
    document = json.loads(out)
    assert document["command"] == "train-classifier"
    assert document["keys"]["seed"] == {"value": 4, "origin": "environment RNNCLI_SEED"}
    assert document["keys"]["data.valid"] == {"value": None, "origin": "default"}


def test_show_without_a_file(run):
    code, out, _ = run("show", "--for", "inspect-gradients")
    assert code == 0
    assert "sequences" in out
    code, out, err = run("show")
    assert (code, out) == (2, "")
    assert "--for" in err


def test_validate_reports_every_file(run, tmp_path):
    good, bad, gone, odd = (tmp_path / f"{name}.yaml" for name in ("good", "bad", "gone", "odd"))
    good.write_text("corpus: {paths: a.txt}\n")
    bad.write_text("corpus: {paths: a.txt}\nwindo: 3\n")
    odd.write_text("something: else\n")
    code, out, err = run("validate", good, bad, gone, odd)
    assert code == 2
    assert out == f"{good}: ok (train-embeddings)\n"
    assert err.splitlines() == [
        f"rnncli: error: {bad}:2: windo: unknown key; did you mean window?",
        f"rnncli: error: {gone}: no such config file; `rnncli config init` writes one",
        f"rnncli: error: {odd}: its keys fit no command; name the command (--for train-classifier)",
    ]
    code, out, _ = run("validate", good, bad, "--json")
    assert code == 2
    assert [entry["ok"] for entry in json.loads(out)["files"]] == [True, False]
    assert run("validate")[0] == 2


def test_validate_for_a_named_command(run, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("corpus: {paths: a.txt}\n")
    code, _, err = run("validate", path, "--for", "train-classifier")
    assert code == 2
    assert "corpus: unknown key" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_schema_is_json_schema(run, command):
    code, out, err = run("schema", command)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["$schema"].startswith("https://json-schema.org/")
    assert all("title" in value for value in document["properties"].values() if "$ref" not in value)


def test_help_of_every_subcommand_shows_two_examples_on_their_own_lines(run):
    for name in ("init", "show", "validate", "schema"):
        code, out, _ = run(name, "--help")
        assert code == 0
        assert sum(line.startswith("    rnncli config " + name) for line in out.splitlines()) == 2
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "validate" in err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_config_that_can_be_read_only_once(run, tmp_path):
    """Process substitution, `-c <(...)`, gives a pipe: it is read once, though its command must be told first."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for arguments in (("validate", path), ("show", "-c", path)):
        writer = threading.Thread(target=path.write_text, args=("corpus: {paths: a.txt}\n",))
        writer.start()
        code, out, err = run(*arguments)
        writer.join(timeout=10)
        assert (code, err) == (0, "")
        assert "train-embeddings" in out or "a.txt" in out
