"""One document whatever the machine: the same bytes at any number of threads, each in a process of its own."""

import json
import os
import subprocess
import sys

import pytest


def document(threads, *arguments):
    command = [sys.executable, "-m", "rnncli", "inspect-gradients", *arguments, "--json", "--threads", str(threads)]
    env = {**os.environ, "NUMBA_NUM_THREADS": "4"}
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("recall", ["model.cell=lstm", "model.hidden_size=12", "model.layers=2", "model.bidirectional=true"]),
        ("copy", ["model.cell=gru", "model.hidden_size=9"]),
        ("adding", ["model.cell=rnn", "model.hidden_size=7", "model.pooling=mean"]),
    ],
)
def test_the_same_bytes_with_one_two_and_four_threads(task, settings):
    sets = [word for setting in settings for word in ("--set", setting)]
    arguments = ("--probe", task, "--length", "14", "--sequences", "70", "--level", "deep", *sets)
    one = document(1, *arguments)
    assert json.loads(one)["schema_version"] == 1
    for threads in (2, 4):
        assert document(threads, *arguments) == one
