"""inspect-gradients --follow as a shell sees it."""

import json
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("fcntl")


def command(*arguments):
    return [sys.executable, "-m", "rnncli", *map(str, arguments)]


def rnncli(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, encoding="utf-8", timeout=120)


def start(*arguments):
    return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("follow")
    lines = ["label\ttext"] + [f"{'yes' if i % 2 else 'no'}\tthing {i % 2} {'x ' * (i % 9)}" for i in range(80)]
    (folder / "train.tsv").write_text("\n".join(lines) + "\n")
    (folder / "recipe.yaml").write_text(
        f"data: {{train: {folder}/train.tsv}}\nembeddings: {{dim: 6}}\nmodel: {{hidden_size: 6}}\n"
        "training: {epochs: 2, batch_size: 10, patience: 0}\n"
    )
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """A finished run that was followed from its beginning: its folder and what the follower said."""
    training = start("train-classifier", "-c", folder / "recipe.yaml", "-o", folder / "run", "--inspect-every", 2, "-q")
    while not (folder / "run").exists() and training.poll() is None:
        time.sleep(0.01)
    said = rnncli("inspect-gradients", folder / "run", "--follow", "--json")
    assert training.communicate(timeout=60)[1] == ""
    assert training.returncode == 0
    return folder / "run", said


def test_json_lines_are_the_rows_of_the_file(run):
    path, said = run
    assert said.returncode == 0, said.stderr
    written = (path / "inspection.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in said.stdout.splitlines()] == list(map(json.loads, written.splitlines()))
    again = rnncli("inspect-gradients", path, "--follow", "--json")
    assert (again.returncode, again.stdout, again.stderr) == (0, said.stdout, "")


def test_text_is_one_aligned_line_a_row(run):
    path, _ = run
    done = rnncli("inspect-gradients", path, "--follow")
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    rows = [json.loads(line) for line in (path / "inspection.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [int(line.split()[0]) for line in lines] == [row["step"] for row in rows]
    assert head.split()[:6] == ["step", "epoch", "loss", "accuracy", f"R({rows[0]['need_lag_steps']})", "half-life"]
    assert {len(line) for line in lines} == {len(head)}
    assert all(f"10^{row['ratio_at_need_log10']:.1f}" in line for row, line in zip(rows, lines, strict=True))


def test_ctrl_c_and_a_killed_run(folder):
    path = folder / "endless"
    recipe = ("-c", folder / "recipe.yaml", "--set", "training.epochs=1000000", "-q")
    training = start("train-classifier", *recipe, "-o", path, "--inspect-every", 500)
    followers = []
    try:
        while not (path / "inspection.jsonl").exists() and training.poll() is None:
            time.sleep(0.01)
        followers = [start("inspect-gradients", path, "--follow", "--json") for _ in range(2)]
        assert all(json.loads(follower.stdout.readline())["step"] == 0 for follower in followers)
        followers[0].send_signal(signal.SIGINT)
        assert followers[0].wait(20) == 130
        assert followers[0].communicate()[1] == "rnncli: interrupted\n"
        assert training.poll() is None
        assert followers[1].poll() is None
        training.kill()
        out, err = followers[1].communicate(timeout=20)
        assert followers[1].returncode == 0
        assert all(json.loads(line) for line in out.splitlines())
        assert "unfinished" in err
        assert len(err.splitlines()) == 1
    finally:
        for process in (training, *followers):
            process.kill()
            process.communicate()


def test_errors(folder, run):
    def refused(*arguments):
        done = rnncli("inspect-gradients", *arguments, "--follow")
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
        return done.stderr

    assert "no such folder" in refused(folder / "gone")
    assert "is a file" in refused(folder / "recipe.yaml")
    assert "name the folder" in refused()
    done = rnncli("train-classifier", "-c", folder / "recipe.yaml", "-o", folder / "plain", "-q")
    assert done.returncode == 0, done.stderr
    assert "--inspect-every" in refused(folder / "plain")


@pytest.mark.parametrize(
    "other",
    [
        ("--html", "x.html"), ("--figures", "x"), ("--matrix", "x.npz"), ("--prove",), ("--what-if",), ("--explain",),
        ("--fail-on", "cut"), ("--probe", "recall"), ("--demo", "textbook"), ("FILE",), ("--need", 3), ("--level", "quick"),
        ("--sequences", 3), ("--max-lag", 3), ("--as-trained",), ("--seed", 0), ("--set", "need=3"), ("--config", "x.yaml"),
        ("--kind", "tagger"),
    ],
)  # fmt: skip
def test_options_that_measure_are_refused(tmp_path, other):
    (tmp_path / "run").mkdir()
    done = rnncli("inspect-gradients", tmp_path / "run", "--follow", *other)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert f"leave {other[0]} out" in done.stderr
