"""Rows of inspection.jsonl, followed while somebody else writes them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from rnncli.artifacts.run_directory import FILM_NAME, HISTORY_NAME, RunDirectory, in_use
from rnncli.errors import ArtifactError, UsageError
from rnncli.events import Note
from rnncli.pipelines import film, train_classifier

pytest.importorskip("fcntl")
PAUSE = 0.01


def rows(*steps, epoch=1):
    return [{"step": step, "epoch": epoch} for step in steps]


def write(folder, some, finished=True):
    folder.mkdir(exist_ok=True)
    (folder / FILM_NAME).write_text("".join(json.dumps(row) + "\n" for row in some))
    if finished:
        (folder / "manifest.json").write_text("{}\n")
    return folder


class Follower(threading.Thread):
    """Collects what `follow` yields."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.met, self.notes, self.error = folder, [], [], None
        self.start()

    def run(self):
        try:
            for row in film.follow(self.folder, self.notes.append, PAUSE):
                self.met.append(row)
        except Exception as error:
            self.error = error

    def has(self, n):
        """Wait until n rows came."""
        end = time.monotonic() + 20
        while len(self.met) < n and time.monotonic() < end and self.is_alive():
            time.sleep(0.005)
        assert len(self.met) == n

    def ended(self):
        self.join(20)
        assert not self.is_alive()
        return self


def test_rows_already_there_and_the_end_of_a_finished_run(tmp_path):
    notes = []
    assert list(film.follow(write(tmp_path / "run", rows(0, 3, 6)), notes.append, PAUSE)) == rows(0, 3, 6)
    assert notes == []


def test_rows_come_as_they_are_written_and_whole(tmp_path):
    with RunDirectory.create(tmp_path / "run") as run:
        follower = Follower(run.path)
        time.sleep(5 * PAUSE)
        run.append_history(rows(0)[0], FILM_NAME)
        follower.has(1)
        with (run.path / FILM_NAME).open("ab") as file:
            file.write(b'{"step": 3, ')
            file.flush()
            time.sleep(10 * PAUSE)
            follower.has(1)
            file.write(b'"epoch": 1}\n{"step"')
            file.flush()
            follower.has(2)
            file.write(b': 6, "epoch": 1}\n')
        follower.has(3)
        time.sleep(10 * PAUSE)
        assert follower.is_alive()
        run.append_history({"step": 9, "epoch": 1}, FILM_NAME)
        run.write_json("manifest.json", {})
    assert follower.ended().met == rows(0, 3, 6, 9)
    assert follower.notes == [Note("waiting for the first row")]


def test_an_unfinished_run_that_nobody_trains_ends_with_a_note(tmp_path):
    run = write(tmp_path / "run", rows(0, 3), finished=False)
    with (run / FILM_NAME).open("a") as file:
        file.write('{"step": 6')  # cut short by a kill
    notes = []
    assert list(film.follow(run, notes.append, PAUSE)) == rows(0, 3)
    assert len(notes) == 1
    assert "unfinished" in notes[0].text
    (run / "manifest.json").write_text("{}\n")
    (run / "checkpoint.safetensors").touch()  # of a run that diverged
    assert list(film.follow(run, notes.append, PAUSE)) == rows(0, 3)
    assert "--resume" in notes[1].text


def test_a_resumed_run_is_followed_on(tmp_path):
    run = write(tmp_path / "run", [*rows(0, 3), *rows(6, 9, epoch=2)], finished=False)
    with RunDirectory.create(run, resume=True) as folder:
        follower = Follower(run)
        follower.has(4)
        folder.keep_film(1)
        folder.append_history({"step": 6, "epoch": 2}, FILM_NAME)
        time.sleep(5 * PAUSE)
        folder.append_history({"step": 9, "epoch": 2, "norm_p50": 1.0}, FILM_NAME)
        follower.has(5)
        folder.append_history({"step": 12, "epoch": 2}, FILM_NAME)
        folder.write_json("manifest.json", {})
    again = [{"step": 9, "epoch": 2, "norm_p50": 1.0}, {"step": 12, "epoch": 2}]
    assert follower.ended().met == [*rows(0, 3), *rows(6, 9, epoch=2), *again]


def test_nothing_to_follow(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        next(film.follow(tmp_path / "gone"))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        next(film.follow(tmp_path / "file"))
    bare = write(tmp_path / "bare", [])
    (bare / FILM_NAME).unlink()
    with pytest.raises(UsageError, match="--inspect-every"):
        next(film.follow(bare, poll_seconds=PAUSE))
    broken = write(tmp_path / "broken", rows(0))
    for damage in ("nonsense", "3", '{"step": 0}'):
        (broken / FILM_NAME).write_text('{"step": 0, "epoch": 0}\n' + damage + "\n")
        with pytest.raises(ArtifactError, match="2: damaged"):
            list(film.follow(broken, poll_seconds=PAUSE))


def test_a_run_that_trains_without_recording_is_told_after_its_epoch(tmp_path):
    with RunDirectory.create(tmp_path / "run") as run:
        follower = Follower(run.path)
        time.sleep(10 * PAUSE)
        assert follower.is_alive()
        run.append_history({"epoch": 1}, HISTORY_NAME)
        assert "--inspect-every" in str(follower.ended().error)


def test_following_a_training_run_changes_no_byte_of_it(task, tmp_path):
    from rnncli.config.load import load_config
    from rnncli.config.rnn import ClassifierConfig

    config = load_config(ClassifierConfig, task / "recipe.yaml", ["training.epochs=2"]).config
    (tmp_path / "run").mkdir()
    follower = None

    def begin(event):
        nonlocal follower
        follower = follower or Follower(tmp_path / "run")

    done = train_classifier.run(config, tmp_path / "run", film=film.filming(config, 3), on_event=begin)
    assert follower.ended().error is None
    assert follower.met == film.film_of(tmp_path / "run")
    assert done.model_sha256 == train_classifier.run(config, tmp_path / "alone").model_sha256


def test_a_folder_is_in_use_while_a_run_lasts(tmp_path):
    assert in_use(tmp_path / "gone") is False
    with RunDirectory.create(tmp_path / "run") as run:
        assert in_use(run.path)
        with RunDirectory(run.path):  # readers leave no mark
            pass
        assert in_use(run.path)
        run.write_bytes("model.safetensors", b"")
    assert in_use(tmp_path / "run") is False
    with RunDirectory(tmp_path / "run"):
        assert in_use(tmp_path / "run") is False


def test_a_killed_run_leaves_no_mark(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from rnncli.artifacts.run_directory import RunDirectory\n"
        "with RunDirectory.create(Path(sys.argv[1])): print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert in_use(tmp_path / "run")
        os.kill(process.pid, signal.SIGKILL)
    assert in_use(tmp_path / "run") is False
