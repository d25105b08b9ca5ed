"""The frame of the command line: exit codes, streams, signals, pipes, start-up cost, progress and tables."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from rnncli.cli import app, options, progress, render
from rnncli.errors import CorpusError, DivergedError, InterruptedRunError, UsageError
from rnncli.events import CheckpointSaved, EpochDone, Note, PhaseStarted, Progressed

# A program with one more command, `nap`, whose body each test gives.
PROGRAM = """
import sys, time
from rnncli.cli import app
@app.app.command("nap")
def nap():
{body}
app.main()
"""


def program(body, *arguments, **kwargs):
    text = PROGRAM.format(body="\n".join("    " + line for line in body.splitlines()))
    return subprocess.run(
        [sys.executable, "-c", text, *arguments], capture_output=True, text=True, timeout=60, **kwargs
    )


def rnncli(*arguments, **kwargs):
    command = [sys.executable, "-m", "rnncli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **kwargs)


@pytest.fixture
def command(monkeypatch):
    """A function that runs the command line in this process with one command replaced by `body`."""

    def run(body, *arguments):
        typer_app = app.typer.Typer(rich_markup_mode=None)
        typer_app.callback(invoke_without_command=True)(app._root)
        typer_app.command("nap")(body)
        monkeypatch.setattr(app, "app", typer_app)
        return app.run(["nap", *arguments])

    return run


def test_help_is_cheap():
    """`--help` imports none of the heavy packages, not even rich."""
    text = (
        "import sys\nfrom rnncli.cli import app\ncode = app.run(['--help'])\n"
        "heavy = {'numpy', 'numba', 'pydantic', 'rich', 'yaml', 'pyarrow', 'safetensors', 'llvmlite'}\n"
        "print(code, sorted(heavy & {name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.stderr == "0 []\n"
    assert done.stdout.startswith("Usage: rnncli [OPTIONS] COMMAND")


def test_version_and_bare_call():
    done = rnncli("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("rnncli 0")
    done = rnncli()
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: rnncli" in done.stderr


CHOICES = (
    "train-classifier, train-regressor, train-tagger, train-lm, train-embeddings, inspect-gradients, check-gradients"
)
MISSING = f"rnncli: error: Missing argument 'COMMAND'. Choose from: {CHOICES}; try 'rnncli config init --help'\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nope"], "rnncli: error: No such command 'nope'; try 'rnncli --help'\n"),
        (["doctor", "--nope"], "rnncli: error: No such option: --nope; try 'rnncli doctor --help'\n"),
        (["config", "init"], MISSING),
    ],
)
def test_usage_errors_are_one_line(arguments, line):
    done = rnncli(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("a.yaml: no such file"), 2, "rnncli: error: a.yaml: no such file\n"),
        (CorpusError("a.txt:3: two\nlines"), 5, "rnncli: error: a.txt:3: two lines\n"),
        (DivergedError("loss is nan"), 4, "rnncli: error: loss is nan\n"),
        (InterruptedRunError("stopped"), 130, "rnncli: error: stopped\n"),
        (KeyError("x"), 1, "rnncli: error: unexpected error: KeyError: 'x'; run again with --debug and report it\n"),
        (
            MemoryError(),
            1,
            "rnncli: error: out of memory; try smaller batches, a smaller vocabulary or shorter texts\n",
        ),
        (KeyboardInterrupt(), 130, "rnncli: interrupted\n"),
    ],
)
def test_every_error_is_one_line_and_its_code(command, capsys, error, code, line):
    def body():
        raise error

    assert command(body) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("arguments", [["--debug"], []])
def test_debug_shows_the_traceback_anywhere(command, capsys, monkeypatch, arguments):
    if not arguments:
        monkeypatch.setenv("RNNCLI_DEBUG", "1")

    def body():
        raise CorpusError("bad line")

    assert command(body, *arguments) == 5
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.endswith("rnncli: error: bad line\n")


def test_a_closed_pipe_ends_quietly():
    """More output than a pipe holds, and a reader that takes one line: exit 0 and silence."""
    text = PROGRAM.format(body="    for i in range(200_000): print('line', i)")
    run = subprocess.Popen([sys.executable, "-c", text, "nap"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stdout.readline() == b"line 0\n"
    run.stdout.close()
    assert run.stderr is not None
    assert run.stderr.read() == b""
    run.stderr.close()
    assert run.wait(timeout=30) == 0


def test_a_pipe_closed_before_the_last_flush_ends_quietly():
    text = PROGRAM.format(body="    print('one'); sys.stdin.read()")
    run = subprocess.Popen(
        [sys.executable, "-c", text, "nap"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stdout is not None
    run.stdout.close()
    run.stdout = None
    assert run.communicate(timeout=30)[1] == b""
    assert run.returncode == 0


def test_a_closed_standard_error_does_not_stop_the_work():
    body = (
        "from rnncli.cli.progress import show_progress\nfrom rnncli.events import Note\nsys.stdin.read()\n"
        "with show_progress() as on_event:\n    for i in range(3): on_event(Note('x'))\nprint('done')"
    )
    text = PROGRAM.format(body="\n".join("    " + line for line in body.splitlines()))
    run = subprocess.Popen(
        [sys.executable, "-c", text, "nap"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stderr is not None
    run.stderr.close()
    run.stderr = None
    assert run.communicate(timeout=30)[0] == b"done\n"


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_clean_up_and_give_their_code(number, code):
    """Ctrl-C and SIGTERM both arrive as KeyboardInterrupt, so `finally` runs; a second SIGTERM does not break it."""
    body = (
        "try:\n    print('ready', flush=True)\n    time.sleep(30)\nfinally:\n"
        "    time.sleep(0.3)\n    print('cleaned', flush=True)"
    )
    text = PROGRAM.format(body="\n".join("    " + line for line in body.splitlines()))
    run = subprocess.Popen(
        [sys.executable, "-c", text, "nap"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    run.send_signal(number)
    if number == signal.SIGTERM:
        time.sleep(0.1)
        run.send_signal(number)
    out, err = run.communicate(timeout=30)
    assert (run.returncode, out, err) == (code, "cleaned\n", "rnncli: interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_run_that_turns_sigterm_into_its_own_error_still_ends_with_143():
    body = (
        "import os, signal\nfrom rnncli.errors import InterruptedRunError\ntry:\n"
        "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)\n"
        "except KeyboardInterrupt:\n    raise InterruptedRunError('epoch 3 is in the checkpoint') from None"
    )
    done = program(body, "nap")
    assert (done.returncode, done.stderr) == (143, "rnncli: error: epoch 3 is in the checkpoint\n")


def test_words_the_stream_cannot_show_do_not_stop_the_program():
    body = "from rnncli.cli.render import print_json, print_table\n"
    body += "print_table('', ['w'], [['größe']])\nprint_json('größe')"
    done = program(body, "nap", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 'w\ngr\\xf6\\xdfe\n"gr\\u00f6\\u00dfe"\n'


EVENTS = [
    PhaseStarted("training", 1000, "words"),
    Progressed(1, float("nan"), 1),
    Progressed(2, 0.5, 1),
    Progressed(1000, 0.25, 1),
    EpochDone(1, {"loss": 0.25, "words_per_second": 123456.7}, best=True),
    CheckpointSaved("runs/a/checkpoint.safetensors", 1),
    Note("dropped 3 empty lines"),
]


def said(capsys, **kwargs):
    with progress.show_progress(**kwargs) as on_event:
        for event in EVENTS:
            on_event(event)
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_lines_off_a_terminal(capsys):
    epoch = "epoch 1  loss 0.25  words_per_second 123,457  (best so far)\n"
    note = "note: dropped 3 empty lines\n"
    assert said(capsys) == epoch + note
    assert said(capsys, mode="bar") == epoch + note
    assert said(capsys, mode="none") == note
    assert said(capsys, quiet=True) == ""
    assert said(capsys, verbose=True) == (
        "training: 1,000 words\n" + epoch + "checkpoint runs/a/checkpoint.safetensors (epoch 1)\n" + note
    )


def test_json_lines_are_strict_and_not_too_many(capsys):
    """The second Progressed comes too soon and is left out; the last one of a phase never is; NaN becomes null."""
    rows = [json.loads(line, parse_constant=pytest.fail) for line in said(capsys, mode="jsonl").splitlines()]
    names = ["phase_started", "progressed", "progressed", "epoch_done", "checkpoint_saved", "note"]
    assert [row["event"] for row in rows] == names
    assert rows[1]["loss"] is None
    assert rows[2]["done"] == 1000
    assert rows[3]["metrics"]["loss"] == 0.25
    assert all(row["seconds"] >= 0 for row in rows)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes standard output and error one 80-column terminal and returns it.

    A function, because pytest puts its own streams in place again between a fixture and its test.
    """

    def open_terminal():
        stream = Terminal()
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return open_terminal


def test_a_bar_on_a_terminal(terminal):
    screen = terminal()
    with progress.show_progress() as on_event:
        for event in EVENTS:
            on_event(event)
    text = screen.getvalue()
    assert "\x1b[" in text
    assert "training" in text
    assert "words/s" in text
    assert "loss 0.25" in text
    assert "note: dropped 3 empty lines" in text


def test_no_animation_on_a_dumb_terminal(terminal, monkeypatch):
    screen = terminal()
    monkeypatch.setenv("TERM", "dumb")
    with progress.show_progress() as on_event:
        for event in EVENTS:
            on_event(event)
    assert "\x1b" not in screen.getvalue()


ROWS = [("good", 0.123456, 12), ("bad\x1b[31m", None, 1_000_000), ("猫", 123456.789, 3)]


def test_tables_in_a_pipe_are_plain_and_aligned(capsys):
    """No box, no colour, wide characters counted as two, control characters shown and not sent."""
    render.print_table("scores", ("word", "similarity", "count"), ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "scores"
    assert [line.split() for line in lines[1:]] == [
        ["word", "similarity", "count"],
        ["good", "0.1235", "12"],
        ["bad\\x1b[31m", "-", "1000000"],
        ["猫", "123457", "3"],
    ]
    assert {render._width(line) for line in lines[1:]} == {render._width(lines[1])}
    render.print_table("", ("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n"


def test_tables_on_a_terminal_fit_it(terminal, monkeypatch):
    screen = terminal()
    render.print_table("scores", ("word", "note"), [("a" * 60, "[red]b[/red] " * 10)])
    text = screen.getvalue()
    assert "\x1b[" in text
    assert "[red]" in text  # data is never markup
    screen.seek(0)
    screen.truncate()
    monkeypatch.setenv("NO_COLOR", "1")
    render.print_table("scores", ("word", "note"), [("a" * 60, "b " * 40)])
    text = screen.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*\b[349][0-9]", text)
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines())) == 80


def test_json_is_strict(capsys):
    render.print_json({"b": "ü", "a": 1})
    assert capsys.readouterr().out == '{\n  "b": "ü",\n  "a": 1\n}\n'
    render.print_json_line([1, None])
    assert capsys.readouterr().out == "[1, null]\n"
    with pytest.raises(ValueError, match="not JSON compliant"):
        render.print_json(float("nan"))


def test_threads_reach_the_environment_before_numba(monkeypatch):
    monkeypatch.setenv("RNNCLI_THREADS", "9")
    options.set_thread_environment(None)
    assert os.environ["RNNCLI_THREADS"] == "9"
    options.set_thread_environment(3)
    assert os.environ["RNNCLI_THREADS"] == "3"


def test_compiling_is_announced_once_and_without_importing_numba():
    """Two kernels compile: one note; before any kernel is imported, nothing happens."""
    text = """
import sys
from rnncli.cli.progress import announce_compiling
announce_compiling(None)
assert "numba" not in sys.modules
from rnncli.kernels import _jit
notes = []
announce_compiling(lambda event: notes.append(event.text))
_jit.numba.njit(lambda x: x + 1)(1)
_jit.numba.njit(lambda x: x + 2)(1)
print(len(notes), notes[0])
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.stdout.startswith("1 compiling kernels, once per version"), done.stderr


def test_doctor_and_its_json():
    done = rnncli("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["kernel"]["status"] == "ok"
    assert checks["threading layer"]["value"].startswith(("omp", "tbb", "workqueue"))


def test_doctor_fails_with_3_when_a_kernel_is_wrong(monkeypatch, capsys):
    from rnncli.cli import doctor

    monkeypatch.setattr(doctor, "_row_dots_kernel", lambda: lambda out, a_MK, b_K: None)
    assert app.run(["doctor"]) == 3
    out, err = capsys.readouterr()
    assert "fail" in out
    assert err.startswith("rnncli: error: 1 of ")
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package",))
    monkeypatch.setattr(doctor, "_kernels", lambda: 1 / 0)
    assert app.run(["doctor"]) == 3
    assert "2 of" in capsys.readouterr().err


def test_warmup_counts(monkeypatch, capsys):
    """Parts are timed and counted; the real parts are tested with the rooms they warm."""
    import types

    from rnncli.cli import warmup

    fake = types.ModuleType("fake_warmup")
    fake.warmup = lambda: None
    monkeypatch.setitem(sys.modules, "fake_warmup", fake)
    monkeypatch.setattr(warmup, "PARTS", (("nothing", "fake_warmup"),))
    assert app.run(["warmup", "--json"]) == 0
    part = json.loads(capsys.readouterr().out)["parts"][0]
    assert (part["part"], part["compiled"], part["loaded"]) == ("nothing", 0, 0)
