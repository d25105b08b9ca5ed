"""The words of the terminal report: which race tests an advice, and counted nouns."""

from typing import Any

import pytest

from rnncli.cli import inspection_text as module
from rnncli.cli.inspect_gradients import troubles
from rnncli.cli.inspection_text import _promise, _subject, _verdict
from rnncli.inspection.what_if import variants
from rnncli.pipelines.inspect_gradients import ARMS


def report(**more: Any) -> dict[str, Any]:
    names = ["as it is", *(variant.name for variant in variants(50, "orthogonal"))]
    return {
        "input": {"sequences": 1, "longest": 1, "loss_terms": 1, "loss": 1.0, "loss_unit": "nats", "accuracy": None,
                  "stage": "trained"},
        "architecture": {"optimizer": "adam", "layers": 1, "task": "classifier", "cell": "rnn", "hidden": 1, "directions": 1},
        "what_if": [{"name": name} for name in names],
        "verdict": {"label": "reaches", "half_life_steps": {"value": None, "ci95": None}, "need_lag_steps": 1,
                    "need_source": "user", "findings": [], "advice": []},
        **more,
    }  # fmt: skip


def expects(row: str) -> dict[str, Any]:
    return {"metric": "/verdict/ratio_at_need_log10", "from": -6.0, "to": -1.0, "what_if": row}


@pytest.mark.parametrize(
    ("row", "arm"),
    [
        ("rnn, orthogonal", "orthogonal"), ("IRNN (relu, identity)", "irnn"), ("lstm, forget bias 1", "lstm"),
        ("lstm, chrono 50", "lstm-chrono"), ("gru", "gru"), ("gru, chrono 50", "gru-chrono"),
    ],
)  # fmt: skip
def test_the_arm_that_tests_an_advice_is_named(row, arm):
    assert arm in ARMS
    assert _promise(report(), expects(row)).endswith(f"-> 0.1; --prove --arms {arm} tests it)")


@pytest.mark.parametrize("row", ["lstm, forget bias 0", "rnn, uniform"])
def test_no_race_is_offered_for_what_is_no_arm(row):
    assert _promise(report(), expects(row)).endswith("-> 0.1)")


def test_no_race_is_offered_where_nothing_can_be_trained():
    subject = report()
    for idle in ({"input": {**subject["input"], "probe": "recall"}}, {"architecture": {}}):
        assert "--prove" not in _promise(report(**idle), expects("gru"))


def test_options_are_not_broken_at_their_hyphens(capsys):
    advice = {"text": "an LSTM with biases for gaps", "expects": expects("lstm, chrono 50")}
    for padding in range(40):
        told = report()
        told["verdict"]["advice"] = [{**advice, "text": f"{'x' * padding} {advice['text']}"}]
        _verdict(told)
        text = capsys.readouterr().out
        assert "lstm-chrono" in text
        assert "--prove" in text
        assert max(map(len, text.splitlines())) <= module.WIDTH


def test_one_is_no_plural(capsys):
    _verdict(report())
    _subject(report())
    text = capsys.readouterr().out
    assert "you need 1 step)" in text
    assert "1 unit;" in text
    assert "1 probe sequence, longest 1, 1 loss;" in text


def test_no_gradient_at_all_is_what_fail_on_vanishing_looks_for():
    def finding(label, severity):
        return {"label": label, "severity": severity}

    assert troubles([finding("not-measurable", 2)]) == {"not-measurable", "vanishing"}
    assert troubles([finding("not-measurable", 1), finding("vanishing", 1)]) == set()
    assert troubles([finding("exploding", 3), finding("cut", 2)]) == {"exploding", "cut"}
