"""The run folder: nothing of the user's is lost, nothing half-written stays, and checkpoints survive kills."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from rnncli.artifacts.bundle import ModelFile, save_model
from rnncli.artifacts.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from rnncli.artifacts.run_directory import RunDirectory, describe_input
from rnncli.errors import ArtifactError, UsageError

KILLED = """
import os, signal, sys, numpy as np
from pathlib import Path
from rnncli.artifacts import bundle
from rnncli.artifacts.checkpoint import save_checkpoint
from rnncli.artifacts.run_directory import RunDirectory
run = RunDirectory.create(Path(sys.argv[1]))
save_checkpoint(run, {"w": np.full(4, 1.0)}, {"epoch": 1})
whole = bundle.save_file
def half(tensors, path, metadata):
    whole(tensors, path, metadata=metadata)
    os.truncate(path, 50)
    os.kill(os.getpid(), signal.SIGKILL)
bundle.save_file = half
save_checkpoint(run, {"w": np.full(4, 2.0)}, {"epoch": 2})
"""


def names(path):
    return sorted(file.name for file in path.iterdir())


def test_new_and_empty_folders_are_fine(tmp_path):
    assert RunDirectory.create(tmp_path / "a" / "b").path.is_dir()
    assert names(RunDirectory.create(tmp_path / "a" / "b").path) == []


def test_a_used_folder_needs_a_word(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=r"not empty; --resume .* --force"):
        RunDirectory.create(tmp_path)
    with pytest.raises(UsageError, match="exclude each other"):
        RunDirectory.create(tmp_path, force=True, resume=True)
    with pytest.raises(UsageError, match="is a file"):
        RunDirectory.create(tmp_path / "mine.txt")
    with pytest.raises(UsageError, match="cannot be used as output folder"):
        RunDirectory.create(tmp_path / "mine.txt" / "run")


def test_force_removes_only_what_rnncli_writes(tmp_path):
    for name in ("model.safetensors", "checkpoint.safetensors", "history.jsonl", "manifest.json", "mine.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".model.safetensors.1.rnncli-tmp").write_text("left by a kill")
    RunDirectory.create(tmp_path, force=True)
    assert names(tmp_path) == ["mine.txt"]


def test_resume_keeps_everything(tmp_path):
    (tmp_path / "history.jsonl").write_text("{}\n")
    RunDirectory.create(tmp_path, resume=True)
    assert names(tmp_path) == ["history.jsonl"]


def test_leftovers_of_a_killed_start_do_not_count_as_content(tmp_path):
    (tmp_path / ".probe.1.rnncli-tmp").write_text("")
    RunDirectory.create(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_met_at_once(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="cannot be written to"):
            RunDirectory.create(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_disk_that_refuses_is_met_at_once(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UsageError, match="cannot be written to: No space left"):
        RunDirectory.create(tmp_path / "new" / "run")
    assert names(tmp_path) == []


def fail_in(run, save=None):
    def work():
        with run:
            run.write_text("config.yaml", "seed: 1\n")
            run.append_history({"epoch": 1})
            if save:
                save(run)
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        work()


def test_a_failed_run_leaves_nothing(tmp_path):
    """Folders the run made go too; folders and files of the user stay."""
    fail_in(RunDirectory.create(tmp_path / "a" / "b"))
    assert names(tmp_path) == []
    (tmp_path / "mine").mkdir()
    fail_in(RunDirectory.create(tmp_path / "mine"))
    assert names(tmp_path / "mine") == []
    (tmp_path / "mine" / "notes.txt").write_text("x")
    fail_in(RunDirectory.create(tmp_path / "mine", force=True))
    assert names(tmp_path / "mine") == ["notes.txt"]


def test_a_failed_run_with_a_checkpoint_or_model_is_kept(tmp_path):
    fail_in(RunDirectory.create(tmp_path / "a"), lambda run: save_checkpoint(run, {}, {"epoch": 1}))
    assert names(tmp_path / "a") == ["checkpoint.safetensors", "config.yaml", "history.jsonl"]
    model = ModelFile("classifier", {}, {})
    fail_in(RunDirectory.create(tmp_path / "b"), lambda run: save_model(run.path / "model.safetensors", model))
    assert "model.safetensors" in names(tmp_path / "b")


def test_writing(tmp_path):
    run = RunDirectory.create(tmp_path)
    run.write_json("result.json", {"b": 1, "a": ["ü", None]})
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == (
        '{\n  "b": 1,\n  "a": [\n    "ü",\n    null\n  ]\n}\n'
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json("result.json", float("inf"))
    with pytest.raises(ValueError, match="KNOWN_NAMES"):
        run.write_text("surprise.txt", "")
    assert names(tmp_path) == ["result.json"]


def test_history_grows_and_is_cut_back(tmp_path):
    run = RunDirectory.create(tmp_path)
    for epoch in range(1, 6):
        run.append_history({"epoch": epoch, "loss": 1 / epoch})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 6, "lo')  # killed while writing
    assert len(run.history()) == 5
    run.keep_history(3)
    run.append_history({"epoch": 4, "loss": 0.0})
    assert [row["epoch"] for row in run.history()] == [1, 2, 3, 4]
    assert (tmp_path / "history.jsonl").read_text().count("\n") == 4
    with pytest.raises(ArtifactError, match="4 rows, but the checkpoint is at epoch 9"):
        run.keep_history(9)


def test_manifest(tmp_path):
    data = tmp_path / "data.txt"
    data.write_bytes(b"abc")
    run = RunDirectory.create(tmp_path / "run")
    before = describe_input(data)
    data.write_bytes(b"changed since")
    record = run.manifest(seed=7, threads=2, inputs=[before, tmp_path / "-"], command=["rnncli", "x"])
    assert json.loads((tmp_path / "run" / "manifest.json").read_text()) == record
    assert record["inputs"][0]["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert record["inputs"][0]["bytes"] == 3
    assert record["inputs"][1]["sha256"] is None
    assert record["peak_memory_mb"] > 5
    assert record["wall_seconds"] >= 0
    assert list(record) == [
        *("rnncli", "python", "numpy", "numba", "platform", "command", "seed", "threads", "started", "inputs"),
        *("wall_seconds", "cpu_seconds", "peak_memory_mb"),
    ]


def test_checkpoint_is_the_last_one(tmp_path):
    run = RunDirectory.create(tmp_path)
    assert load_checkpoint(run) is None
    for epoch in (1, 2):
        save_checkpoint(run, {"w": np.full(3, epoch, dtype=np.float32)}, {"epoch": epoch})
    loaded = load_checkpoint(run)
    assert loaded is not None
    tensors, state = loaded
    assert state == {"epoch": 2}
    np.testing.assert_array_equal(tensors["w"], np.full(3, 2, dtype=np.float32))
    remove_checkpoint(run)
    remove_checkpoint(run)
    assert names(tmp_path) == []


def test_a_damaged_checkpoint_is_noticed(tmp_path):
    run = RunDirectory.create(tmp_path)
    save_checkpoint(run, {"w": np.ones(3)}, {"epoch": 1})
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(ArtifactError, match="damaged"):
        load_checkpoint(run)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_kill_while_writing_keeps_the_old_checkpoint(tmp_path):
    """SIGKILL in the middle of the second checkpoint: the first is whole, and --resume clears the leftover."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert len(names(tmp_path / "run")) == 2
    loaded = load_checkpoint(RunDirectory.create(tmp_path / "run", resume=True))
    assert loaded is not None
    assert loaded[1] == {"epoch": 1}
    assert names(tmp_path / "run") == ["checkpoint.safetensors"]


def test_part_of_the_only_recorded_row_goes_before_the_next_is_written(tmp_path):
    (tmp_path / "inspection.jsonl").write_text('{"step": 0, "ep')
    run = RunDirectory.create(tmp_path, resume=True)
    run.keep_film(0)
    run.append_history({"step": 0, "epoch": 0}, "inspection.jsonl")
    assert run.history("inspection.jsonl") == [{"step": 0, "epoch": 0}]
