"""The lessons' numbers against plain NumPy, and how a lesson is told."""

import io
import json
import sys

import numpy as np
import pytest

from rnncli.cli.demos import print_explanation, show_demo
from rnncli.inspection import demos
from rnncli.inspection.demos import DEMOS


def numbers(demo):
    """All numbers of a lesson's steps by name, and those of its answer."""
    return {name: value for step in demo.steps for name, value in step.numbers.items()}, demo.answer.numbers


def backwards(w, d_TH, e):
    """Norms of dL/dh by lag for h' = g(W h), g' as given, e = dL/dh_T; relative to the first."""
    found, v = [np.linalg.norm(e)], e
    for d in d_TH[:0:-1]:
        v = w.T @ (d * v)
        found.append(np.linalg.norm(v))
    return np.array(found) / found[0]


def test_an_orthogonal_matrix_keeps_every_length():
    steps, answer = numbers(DEMOS["orthogonal"]())
    for name in ("sigma_max", "sigma_min", "spectral radius", "ratio at lag 1", "ratio at lag 10", "ratio at lag 100"):
        assert steps[name] == pytest.approx(1.0, abs=1e-12)
    assert answer["0.9 Q, ratio at lag 100"] == pytest.approx(0.9**100, rel=1e-12)
    assert answer["1.1 Q, ratio at lag 100"] == pytest.approx(1.1**100, rel=1e-12)
    assert answer["0.9 Q, half-life in steps"] == pytest.approx(np.log(2) / -np.log(0.9), abs=1e-9)
    assert answer["Q with tanh at |a| = 0.5, ratio at lag 10"] == pytest.approx(np.cosh(0.5) ** -20, rel=1e-12)


def test_a_delay_line_passes_the_gradient_unharmed_to_its_end():
    steps, answer = numbers(DEMOS["delay-line"]())
    assert steps["spectral radius"] == 0
    assert steps["sigma_max"] == 1
    assert [steps[f"ratio at lag {lag}"] for lag in (1, 2, 6, 7, 8)] == [1, 1, 1, 1, 0]
    jordan = np.array([[0.9, 1.0], [0.0, 0.9]])
    norms = [np.linalg.norm(np.linalg.matrix_power(jordan, lag), 2) for lag in range(60)]
    assert answer["at lag"] == np.argmax(norms) == 9
    assert answer["largest ratio at all"] == pytest.approx(max(norms), rel=1e-12)
    assert answer["largest ratio at lag 10"] == pytest.approx(norms[10], rel=1e-12)
    assert answer["below 1 from lag"] == next(lag for lag in range(1, 60) if norms[lag] < 1) == 35
    assert answer["spectral radius"] == pytest.approx(0.9)
    assert answer["sigma_max"] == pytest.approx(np.linalg.norm(jordan, 2))


def test_a_saturated_unit_makes_the_gradient_explode():
    steps, answer = numbers(DEMOS["counterexample"]())
    w, e = np.array([[1.2, -1.0], [1.0, -1.2]]), np.array([1.0, 0.0])
    assert steps["spectral radius"] == pytest.approx(np.sqrt(0.44), abs=1e-12)
    assert (steps["sigma_max"], steps["sigma_min"]) == (pytest.approx(2.2), pytest.approx(0.2))
    free, stuck = backwards(w, np.ones((61, 2)), e), backwards(w, np.tile([1.0, 0.0], (61, 1)), e)
    for lag in (1, 10, 60):
        assert steps[f"ratio at lag {lag}"] == pytest.approx(free[lag], rel=1e-12)
        assert answer[f"ratio at lag {lag}"] == pytest.approx(stuck[lag], rel=1e-12)
    assert free[60] < 1e-10 < 1e4 < stuck[60]
    assert answer["spectral radius of D W"] == pytest.approx(1.2, abs=1e-12)
    assert answer["Lyapunov exponent, nats a step"] == pytest.approx(np.log(1.2), abs=1e-12)


def test_the_sum_over_losses_hides_what_each_loss_shows():
    steps, answer = numbers(DEMOS["textbook"]())
    network, data, targets = demos._untrained(64, 60, 16, 32)
    d = network.dense
    w = d["rnn.weight_hh_l0"]
    own, summed = [], []
    for row in range(16):
        ids, y = data.ids[row * 60 : row * 60 + 60], targets[row * 60 : row * 60 + 60]
        h, states, direct = np.zeros(64), [], []
        for token, label in zip(ids, y, strict=True):
            h = np.tanh(d["rnn.weight_ih_l0"] @ network.embedding_VE[token] + w @ h + d["rnn.bias_l0"])
            z = d["head.weight"] @ h + d["head.bias"]
            p = np.exp(z) / np.exp(z).sum()
            p[label] -= 1
            states.append(h)
            direct.append(d["head.weight"].T @ p)
        slopes = 1 - np.array(states) ** 2
        for t in range(60):
            ratio = np.full(60, np.nan)
            ratio[: t + 1] = backwards(w, slopes[: t + 1], direct[t])
            own.append(ratio)
        v, total = np.zeros(64), np.zeros(60)
        for k in range(59, -1, -1):
            v = v + direct[k]
            total[59 - k] = np.linalg.norm(v)
            v = w.T @ (slopes[k] * v)
        summed.append(total)
    median = np.nanquantile(own, 0.5, axis=0, method="inverted_cdf")
    for lag in (1, 5, 10, 30, 59):
        assert steps[f"ratio at lag {lag}"] == pytest.approx(median[lag], rel=1e-9)
    for back in (0, 30, 59):
        expected = np.quantile(np.array(summed)[:, back], 0.5, method="inverted_cdf")
        assert steps[f"|dL/dh|, {back} steps from the end"] == pytest.approx(expected, rel=1e-9)
    assert steps["ratio at lag 59"] < 1e-12 < 0.5 < steps["|dL/dh|, 59 steps from the end"]
    assert steps["spectral radius"] == pytest.approx(np.abs(np.linalg.eigvals(w)).max())
    assert answer["spectral radius"] == pytest.approx(6.0)
    assert answer["smallest |h|"] == pytest.approx(np.sqrt(5 / 6))
    for lag in (1, 10, 59):
        assert answer[f"ratio at lag {lag}"] == pytest.approx(1.0, abs=1e-10)
    assert answer["squashing, nats a step"] == pytest.approx(-np.log(6.0), abs=1e-10)
    assert answer["weights, nats a step"] == pytest.approx(np.log(6.0), abs=1e-10)
    assert answer["Lyapunov exponent, nats a step"] == pytest.approx(0.0, abs=1e-10)


class Terminal(io.StringIO):
    """A stream that says it is a terminal, or not."""

    encoding = "utf-8"

    def __init__(self, text="", tty=True):
        super().__init__(text)
        self.tty = tty

    def isatty(self):
        return self.tty


@pytest.mark.parametrize("name", DEMOS)
@pytest.mark.parametrize("tty", [False, True])
def test_a_lesson_waits_for_enter_on_a_terminal_only(name, tty, monkeypatch):
    asked, said = Terminal("\nrest\n", tty), Terminal(tty=tty)
    monkeypatch.setattr(sys, "stdin", asked)
    monkeypatch.setattr(sys, "stdout", said)
    show_demo(name)
    text = said.getvalue()
    assert (asked.tell() > 0) == tty
    assert ("press Enter" in text) == tty
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    lesson = DEMOS[name]()
    assert flat.index(lesson.question[:40]) < flat.index(lesson.answer.text[:40])


@pytest.mark.parametrize("other", ["stdin", "stdout"])
def test_a_pipe_on_either_side_is_no_terminal(other, monkeypatch):
    streams = {"stdin": Terminal("\n", other != "stdin"), "stdout": Terminal(tty=other != "stdout")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    show_demo("delay-line")
    assert streams["stdin"].tell() == 0


@pytest.mark.parametrize("name", DEMOS)
def test_a_lesson_is_a_strict_document(name, capsys):
    show_demo(name, json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["demo"] == name
    assert set(document) == {"demo", "title", "steps", "question", "answer"}
    assert document["question"].endswith("?")
    assert all(np.isfinite(list(step["numbers"].values())).all() for step in [*document["steps"], document["answer"]])


def test_paragraphs_are_wrapped_and_equations_are_not(capsys):
    print_explanation(["word " * 40, "", "  a = b" + " . c" * 18, "a\x1b[31mb"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:3])) <= 80
    assert "  a = b" + " . c" * 18 in lines
    assert "\x1b" not in lines[-1]
