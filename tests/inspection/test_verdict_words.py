"""Sentences and advice that must not claim what was not measured."""

import re
from dataclasses import replace
from math import inf, log

import numpy as np
import pytest
from factory import driven, made, texts

from rnncli.inspection.advice import advise, with_predictions
from rnncli.inspection.calibration import calibration
from rnncli.inspection.inspect import Inspector, inspect_closely
from rnncli.inspection.probe import Probe
from rnncli.inspection.verdict import Evidence, counted, findings

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


def row(name, ratio, **change):
    return {"name": name, "change": {f"model.{k}": v for k, v in change.items()}, "ratio_at_need_log10": ratio}


def test_predictions_are_of_the_very_change_and_keep_the_order_of_the_rest():
    rows = [
        row("as it is", -7.0),
        row("lstm, forget bias 0", -9.0, cell="lstm", forget_bias=0.0, chrono=None),
        row("lstm, forget bias 1", -2.0, cell="lstm", forget_bias=1.0, chrono=None),
        row("lstm, chrono 12", -0.9, cell="lstm", chrono=12),
        row("gru", -1.0, cell="gru", chrono=None),
        row("gru, chrono 12", -0.1, cell="gru", chrono=12),
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
    predicted = [one["expects"] for one in told if one["expects"].get("what_if")]
    assert {e["what_if"] for e in predicted} == {"lstm, forget bias 1", "gru"}
    assert {e["from"] for e in predicted} == {-7.0}  # of the table, as "to" is; the verdict's own ratio is 1e-6
    assert next(one for one in told if one["id"] == "irnn")["expects"]["from"] == pytest.approx(-6.0)


WILD = replace(
    GOOD, need=10_000, pairs_at_need=0, log_ratio_at_need=None, lambda_1=0.01, lambda_interval=(0.009, 0.011)
)


def test_an_exponent_says_nothing_of_more_steps_than_were_measured():
    assert "exploding" not in said(replace(WILD, longest=40))
    far = said(replace(WILD, longest=400))["exploding"]
    assert "the 400 steps that enough losses of the probe go back (not the 10000 that you need" in far.text
    assert "gradients over long spans must explode" in said(replace(WILD, need=300, longest=400))["exploding"].text
    assert (
        "the 1 step that" in said(replace(WILD, lambda_1=9.0, lambda_interval=(9.0, 9.0), longest=1))["exploding"].text
    )


def test_where_no_gradient_leaves_the_read_out_more_sequences_are_no_help():
    for silent, words in [
        ("head", "weights of the head are 0"),
        ("losses", "exactly 0"),
        ("layers", "the layers above"),
    ]:
        dead = replace(BAD, pairs_at_need=0, log_ratio_at_need=None, silent=silent, context=1)
        (found,) = [f for f in findings(dead, T) if f.id == "V0"]
        assert (found.label, found.severity) == ("not-measurable", 2)
        assert words in found.text
        assert "probe more" not in found.text
        assert advice_of(dead) == []
        assert said(replace(dead, solved=True))["not-measurable"].severity == 1


@pytest.mark.parametrize("kind", ["reaches", "vanishing", "not-measurable", "zero", "unused"])
def test_one_is_no_plural(kind):
    one = replace(GOOD, need=1, bptt_steps=1, bias_at_bptt=0.9, bias_horizon=1, coverage=0.1, nonfinite=1, dead_f32=1)
    one = {
        "reaches": one,
        "vanishing": replace(one, log_ratio_at_need=log(1e-6), half_life=1.0, context=1, participation=1.0),
        "not-measurable": replace(one, pairs_at_need=1),
        "zero": replace(one, log_ratio_at_need=-inf),
        "unused": replace(one, need=4, context=1, demand=1),
    }[kind]
    told = (
        [f.text for f in findings(one, T)] + [a.text for a in advice_of(one)] + [a.text for a in advice_of(one, "gru")]
    )
    text = "\n".join(told)
    assert not re.search(r"(?<![\d.])1 (steps|losses|units|gradients|sequences)", text)
    assert not re.search(r"1 gradient of the probe are|1 unit never pass any", text)


def looked_at(change, layers=1, need=3, rows=None):
    """The findings and evidence of a network whose weights were changed."""
    network, data, targets = made("rnn", layers, pooling="last")
    change(network.dense, targets)
    inspection = inspect_closely(Probe(network, data, targets, "classifier", need=need), Inspector())
    return {f["label"]: f["text"] for f in inspection.result.verdict["findings"]}, inspection.evidence


def nothing(dense, targets):
    dense.flat[:] = 0.0


def no_head(dense, targets):
    dense["head.weight"][:] = 0.0


def no_way_down(dense, targets):
    dense["rnn.weight_ih_l1"][:] = 0.0


def no_error(dense, targets):
    dense["head.bias"][:] = [1e4, 0.0, 0.0]
    targets[:] = 0


@pytest.mark.parametrize(
    ("change", "layers", "silent"),
    [
        (nothing, 1, "head"),
        (nothing, 2, "head"),
        (no_head, 1, "head"),
        (no_error, 1, "losses"),
        (no_way_down, 2, "layers"),
    ],
)
def test_a_network_without_any_gradient_says_where_it_ends(change, layers, silent):
    found, evidence = looked_at(change, layers)
    assert evidence.silent == silent
    assert found["not-measurable"].startswith("no gradient")
    assert looked_at(lambda dense, targets: None, layers)[1].silent is None


def test_how_far_enough_losses_reach_is_measured():
    network, _, _ = made("rnn", pooling="last")
    data, targets = texts(40, 12, 9, 1, 3)
    inspection = inspect_closely(Probe(network, data, targets, "classifier", need=500), Inspector())
    assert inspection.evidence.longest == 11
    few = inspect_closely(Probe(network, *texts(5, 12, 9, 1, 3), "classifier", need=500), Inspector())
    assert few.evidence.longest == 0


def test_a_chaotic_network_is_not_extrapolated():
    """Exponent 0.02, ten steps of data: over 1000 steps it would grow 1e9 times, over ten it hardly does."""
    network, data, targets = driven("relu", np.eye(3) * 1.02, 11, rows=40, w_ih=np.ones((3, 1)))
    verdict = inspect_closely(Probe(network, data, targets, "classifier", need=1000), Inspector()).result.verdict
    assert "exploding" not in {f["label"] for f in verdict["findings"]}
    network, data, targets = driven("relu", np.eye(3) * 1.5, 11, rows=40, w_ih=np.ones((3, 1)))
    verdict = inspect_closely(Probe(network, data, targets, "classifier", need=1000), Inspector()).result.verdict
    assert any("the 10 steps that enough losses" in f["text"] for f in verdict["findings"])


def test_numbers_and_nouns():
    assert [counted(n, "step") for n in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
    assert counted(1, "loss", "losses") == "1 loss"
    assert counted(3, "loss", "losses") == "3 losses"
    assert (counted(1.04, "step", form=".2g"), counted(0.4, "step", form=".2g")) == ("1 step", "0.4 steps")
