"""Sentences and advice that must not claim what was not measured."""

from dataclasses import replace
from math import inf, log

import pytest

from rnncli.inspection.advice import advise, with_predictions
from rnncli.inspection.calibration import calibration
from rnncli.inspection.verdict import Evidence, findings

T = calibration().thresholds
GOOD = Evidence(
    need=12, pairs_at_need=100, log_ratio_at_need=log(0.5), interval=None, half_life=12.0, peak=0.0, peak_lag=0,
    far_share=0.3, squash=-0.03, weights=-0.03, gated=False, rho=0.9, henrici=0.0,
)  # fmt: skip
BAD = replace(GOOD, log_ratio_at_need=log(1e-6), squash=-0.1, weights=-1.0, far_share=0.0, participation=1.1)


def said(evidence):
    return {f.label: f for f in findings(evidence, T)}


def advice_of(evidence, cell="rnn", init=None, pooling="last"):
    return advise(evidence, findings(evidence, T), cell, init, pooling, T)


def test_nothing_is_said_about_a_lag_that_was_not_measured():
    assert set(said(replace(BAD, pairs_at_need=3))) == {"not-measurable"}
    assert {"vanishing", "one-sided", "collapsed", "cause"} <= set(said(BAD))


def test_an_exact_zero_is_no_balance():
    found = said(replace(BAD, log_ratio_at_need=-inf, squash=float("nan"), weights=float("nan")))
    assert "balanced" not in found
    assert "exactly 0" in found["cause"].text


def test_a_spectral_radius_is_not_acquitted():
    assert "is not the reason" not in said(replace(BAD, rho=0.4))["cause"].text


def test_a_suggested_threshold_may_clip_half():
    text = said(replace(GOOD, clip_fraction=0.9, clip_suggested=2.0))["clip"].text
    assert "half of them at most" in text


def test_who_is_clipped_already_is_not_told_to_clip():
    wild = replace(GOOD, peak=log(100.0))
    assert [a.id for a in advice_of(wild)] == ["clip"]
    assert [a.id for a in advice_of(replace(wild, clip_fraction=0.9, clip_suggested=9.0))] == ["lower-rate"]


def test_orthogonal_is_not_advised_twice():
    assert "orthogonal" in {a.id for a in advice_of(BAD)}
    assert "orthogonal" not in {a.id for a in advice_of(BAD, init="orthogonal")}


WINDOW = {"training.bptt_steps", "training.bptt_stride"}


@pytest.mark.parametrize(("at_ends", "keys"), [(True, {"training.bptt_steps"}), (False, WINDOW)])
def test_only_windows_have_a_stride(at_ends, keys):
    one = advice_of(replace(GOOD, bptt_steps=5, at_ends=at_ends))[0]
    assert one.change.keys() == keys
    assert one.change["training.bptt_steps"] > GOOD.need


def test_predictions_are_of_the_very_change_and_keep_the_order_of_the_rest():
    rows = [
        {"change": {}, "ratio_at_need_log10": -6.0},
        {"change": {"model.cell": "lstm", "model.forget_bias": 0.0, "model.chrono": None}, "ratio_at_need_log10": -9.0},
        {"change": {"model.cell": "lstm", "model.forget_bias": 1.0, "model.chrono": None}, "ratio_at_need_log10": -2.0},
        {"change": {"model.cell": "lstm", "model.chrono": 12}, "ratio_at_need_log10": -0.9},
        {"change": {"model.cell": "gru", "model.chrono": None}, "ratio_at_need_log10": -1.0},
        {"change": {"model.cell": "gru", "model.chrono": 12}, "ratio_at_need_log10": -0.1},
    ]
    seen = replace(BAD, context=4, bptt_steps=5)
    told = with_predictions([vars(a) for a in advice_of(seen, init="orthogonal")], rows)
    assert told[0]["id"] == "longer-window"
    assert told[-1]["id"] == "nothing"
    to = {one["id"]: one["expects"]["to"] for one in told}
    assert (to["lstm"], to["gru"]) == (-2.0, -1.0)
    assert [one["id"] for one in told if one["id"] in ("lstm", "gru")] == ["gru", "lstm"]
    chrono = with_predictions([vars(a) for a in advice_of(BAD, cell="lstm")], rows)
    assert chrono[0]["expects"]["to"] == -0.9  # not that of the GRU
