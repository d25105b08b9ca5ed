"""Student mode: what is printed can be checked by hand. Products are parsed out of the text and multiplied."""

import re
from dataclasses import replace
from math import exp, isfinite, log, prod
from pathlib import Path

import numpy as np
import pytest
from factory import CELLS, made, texts

from rnncli.inspection import explain as module
from rnncli.inspection.explain import explain, number, shown_chain
from rnncli.inspection.inspect import Inspector, inspect_closely
from rnncli.inspection.local import state_jacobian
from rnncli.inspection.probe import Probe
from rnncli.inspection.sources import FORMULAS, SOURCES, number_at, resolve
from rnncli.rnn.network import Network, NetworkSpec

POSITIVE = r"\d+(?:\.\d+)?(?:e[+-]\d+)?"


def looked_at(cell, layers=1, bidirectional=False, pooling="each", task="tagger", need=3, level="standard", **more):
    network, data, targets = made(cell, layers, bidirectional, pooling, **more)
    return inspect_closely(Probe(network, data, targets, task, need=need), Inspector(level))


def language_model(cell, tied=False, scale=1.0):
    words, size = 12, 8
    network = Network(NetworkSpec(cell, "multiclass", words, size, size, words, pooling="each", tied=tied), np.float64)
    network.initialise("orthogonal", 2)
    network.dense.flat[:] *= scale
    data, targets = texts(6, 20, words, 5, words, each=True, spread=3)
    return inspect_closely(Probe(network, data, targets, "language-model", need=4), Inspector())


def equations(lines):
    """Lines `left = ...` with the lines that continue them."""
    joined = re.sub(r"\n {4}(?=\S)", " ", "\n".join(lines))
    return [tuple(line.strip().split(" = ", 1)) for line in joined.splitlines() if re.match(r"  \S+ = ", line)]


def the_product(lines):
    """(left side, brackets, last factor) of the printed product, and how it is written in symbols."""
    (symbol_left, symbols), (left, right) = equations(lines)[:2]
    *brackets, last = right.split(" . ")
    factors = [[float(x) for x in re.findall(POSITIVE, bracket)] for bracket in brackets]
    return float(left), factors, float(last), symbol_left, symbols.split(" . ")


def check(inspection):
    lines = explain(inspection)
    assert all(len(line) <= 80 for line in lines if line.startswith("  "))
    left, factors, last, symbol_left, symbols = the_product(lines)
    assert prod(x for bracket in factors for x in bracket) * last == pytest.approx(left, rel=0.01)
    calculator = next(float(line.split(": ")[1]) for line in lines if line.startswith("  on a calculator"))
    assert calculator == pytest.approx(left, rel=0.01)
    t, state, k = re.fullmatch(r"dL_(\d+)/d([hs])_(\d+)", symbol_left).groups()
    t, k = int(t), int(k)
    assert symbols[-1] == f"dL_{t}/d{state}_{t}"
    assert len(symbols) - 1 == len(factors) == t - k
    assert [int(re.search(r"_(\d+)", s)[1]) for s in symbols[:-1]] == list(range(k + 1, t + 1))
    return lines, left, factors, last, t


def sequence(lines, rollout):
    """The row that the text speaks of."""
    return int(
        np.flatnonzero(rollout.rows == int(re.search(r"Sequence (\d+) of the probe", "\n".join(lines))[1]) - 1)[0]
    )


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["each", "last", "mean"])
def test_the_product_printed_is_the_left_side_printed_and_the_true_gradient(cell, layers, bidirectional, pooling):
    inspection = looked_at(cell, layers, bidirectional, pooling, "tagger" if pooling == "each" else "classifier")
    lines, left, factors, last, t = check(inspection)
    rollout = inspection.rollout
    chain = rollout.layers[-1][0]
    first = rollout.offsets[sequence(lines, rollout)]
    delta = np.zeros(chain.state_size)
    delta[: chain.hidden] = rollout.direct_NO[first + t - 1, : chain.hidden]
    assert np.linalg.norm(delta) == pytest.approx(last, rel=0.005)
    for n, bracket in zip(range(first + t - 1, first, -1), factors[::-1], strict=False):
        before = np.linalg.norm(delta)
        if cell in ("rnn", "relu"):
            slope = 1 - chain.h_NH[n] ** 2 if cell == "rnn" else (chain.a_NG[n] > 0).astype(float)
            assert bracket[1] == pytest.approx(np.linalg.norm(slope * delta) / before, rel=0.006)
        delta = state_jacobian(chain.local, chain.w_hh_GH, n).T @ delta
        assert prod(bracket) == pytest.approx(np.linalg.norm(delta) / before, rel=0.01)
    assert np.linalg.norm(delta) == pytest.approx(left, rel=0.006)
    assert ("the top one" in "\n".join(lines)) == (layers == 2)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("tied", [False, True])
def test_language_models(cell, tied):
    lines, *_ = check(language_model(cell, tied))
    assert "is the loss at step" in "\n".join(lines)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("scale", [0.01, 30.0])
def test_sizes_far_from_one(cell, scale):
    check(language_model(cell, scale=scale))


@pytest.mark.parametrize("cell", CELLS)
def test_quick_looks_are_explained_too(cell):
    lines, *_ = check(looked_at(cell, level="quick"))
    assert "not measured at this level" in "\n".join(lines)


@pytest.mark.parametrize("cell", CELLS)
def test_mean_gains_multiply_to_what_is_said(cell):
    inspection = language_model(cell)
    lines = explain(inspection)
    line = next(line for line in lines if line.startswith("  e^(("))
    first, sign, weights, lag, said = re.fullmatch(r"  e\^\(\((\S+) ([+-]) (\S+)\) x (\d+)\) = (\S+)", line).groups()
    total = float(first) + float(sign + weights)
    assert exp(total * int(lag)) == pytest.approx(float(said), rel=0.01)
    lags = shown_chain(inspection).lags
    gains = lags.total_LA[: int(lag)]
    assert total == pytest.approx(gains[np.isfinite(gains)].mean(), abs=2e-3)
    measured = next(float(re.search(r": (\S+)", line)[1]) for line in lines if line.startswith("  measured at lag"))
    assert log(measured) == pytest.approx(float(shown_chain(inspection).curve.p50_L[int(lag)]), abs=0.06)


def test_the_exponent_and_its_power_agree():
    text = "\n".join(explain(language_model("rnn")))
    value, power, factor = re.search(r"lambda_1 = (\S+): e\^(\S+) = (\S+) a step", text).groups()
    assert float(value) == float(power)
    assert exp(float(power)) == pytest.approx(float(factor), rel=0.001)


@pytest.mark.parametrize(
    ("scale", "first", "second"),
    [(0.5, "it must, and after", "it cannot grow"), (1.0, "not your case", "it cannot grow"),
     (3.0, "not your case", "it may. It does")],
)  # fmt: skip
def test_rules_follow_the_largest_singular_value(scale, first, second):
    words, size = 12, 8
    network = Network(NetworkSpec("rnn", "multiclass", words, size, size, words, pooling="each"), np.float64)
    network.initialise("orthogonal", 2)
    network.dense["rnn.weight_hh_l0"][:] *= scale
    data, targets = texts(6, 20, words, 5, words, each=True)
    lines = explain(inspect_closely(Probe(network, data, targets, "tagger", need=4), Inspector()))
    rules = {line[5]: line for line in lines if line.startswith("Rule ")}
    assert first in rules["1"]
    assert second in rules["2"]
    assert f"rho is {scale:.4g}" in rules["3"]
    assert "not the reason" in rules["3"]


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_before"])
def test_gated_cells_have_another_rule(cell):
    inspection = looked_at(cell)
    lines = explain(inspection)
    assert not any(line.startswith("Rule ") for line in lines)
    power, kept = re.search(r"= e\^(\S+) = (\S+) a step", "\n".join(lines)).groups()
    mean_log = np.log(shown_chain(inspection).chain.local.keep_NH).mean()
    assert float(power) == pytest.approx(mean_log, abs=1e-4)
    assert float(kept) == pytest.approx(exp(mean_log), rel=1e-3)


def test_words_are_named():
    network, data, targets = made("rnn", pooling="last")
    probe = Probe(
        network, data, targets, "classifier", need=3, words=lambda ids: [f"w{i}" for i in ids], labels=["a", "b", "c"]
    )
    inspection = inspect_closely(probe, Inspector())
    lines = explain(inspection)
    first = data.starts[sequence(lines, inspection.rollout)]
    named = re.findall(r'(\d+) "(w\d+)"', "\n".join(lines))
    assert len(named) == 4
    assert all(word == f"w{data.ids[first + int(step) - 1]}" for step, word in named)


@pytest.mark.parametrize("pooling", ["each", "last"])
def test_a_dead_network_is_explained(pooling):
    network, data, targets = made("relu", pooling=pooling)
    network.dense["rnn.bias_l0"][:] = -1e3
    lines = explain(inspect_closely(Probe(network, data, targets, "tagger", need=3), Inspector()))
    assert "it is exactly 0" in "\n".join(lines)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_single_steps_have_no_way_back(cell):
    network, _, _ = made(cell, pooling="last")
    data, targets = texts(5, 1, 9, 1, 3)
    lines = explain(inspect_closely(Probe(network, data, targets, "classifier"), Inspector()))
    assert "there is no such step" in "\n".join(lines)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize(("need", "length"), [(1, 2), (3, 2), (1, 1)])
def test_one_is_no_plural(cell, need, length):
    network, _, _ = made(cell, pooling="last")
    network.dense.flat[:] *= 0.1
    data, targets = texts(1, length, 9, 1, 3)
    inspection = inspect_closely(Probe(network, data, targets, "classifier", need=need), Inspector())
    text = "\n".join(explain(inspection))
    assert not re.search(r"(?<![\d.])1 (steps|losses|units|sequences)", text)
    assert ("1 step" in text) == (need == 1 or length == 1 or cell == "rnn")


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_every_finding_has_its_formula_its_source_and_its_number(cell):
    inspection = looked_at(cell)
    lines, document = explain(inspection), inspection.result.to_json()
    text = "\n".join(lines)
    found = document["verdict"]["findings"]
    assert (
        len(found)
        == sum(line.startswith("  formula") for line in lines)
        == sum(line.startswith("  source") for line in lines)
    )
    for finding in found:
        assert f"{finding['id']} {finding['label']}: {finding['text']}" in text
        for path in finding["evidence"]:
            assert path in text
            resolve(document, path)
    value = resolve(document, "/verdict/ratio_at_need_log10")
    assert value is None or f"/verdict/ratio_at_need_log10 = {value:.4g}" in text


def test_numbers_stand_beside_their_paths():
    document = {"a": {"share": {"W": [0.5, 0.25, 0.125, 0.125]}, "p50": [0.0, -1.0, -2.0]},
                "b": {"lags": [0, 2], "value": [3.0, 4.0]}, "c": None, "d": {"x": 1.5, "y": [1]}}  # fmt: skip
    assert number_at(document, "/a/p50", 2) == "/a/p50/2 = -2"
    assert number_at(document, "/a/share/W", 3) == "/a/share/W, lags 2 and more together = 0.25"
    assert number_at(document, "/b", 2) == "/b/value/1 = 4"
    assert number_at(document, "/c", 2).startswith("/c = null")
    assert number_at(document, "/d", 2) == "/d: x 1.5"
    assert "not measured" in number_at(document, "/e/f", 2)


def test_all_findings_and_references_are_known():
    source = Path(module.__file__).with_name("verdict.py").read_text(encoding="utf-8")
    assert set(re.findall(r'"([a-z]+\d{4})"', source)) <= set(SOURCES)
    assert set(re.findall(r'Finding\(\s*"(V\d+)"', source)) <= set(FORMULAS)
    assert {ref for _, refs in FORMULAS.values() for ref in refs} <= set(SOURCES)


@pytest.mark.parametrize("value", [1.0, 0.99996, 9.9999, 0.00099999, 12345.0, 3.2e-7, 9.9996e-9, 0.5, 123.4, 9999.6])
@pytest.mark.parametrize("digits", [3, 4, 6])
def test_numbers_keep_their_digits(value, digits):
    text = number(log(value), digits)
    assert float(text) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))
    assert re.fullmatch(POSITIVE, text)


def test_logarithms_no_float_could_hold():
    assert number(-412 * log(10), 3) in ("1.00e-412", "9.99e-413")
    assert isfinite(float(number(300 * log(10), 4)))


def test_a_step_whose_first_part_is_zero_is_one_factor():
    inspection = looked_at("lstm")
    found = shown_chain(inspection)
    lags = replace(found.lags, direct_LA=np.full_like(found.lags.direct_LA, -np.inf))
    hand = module.by_hand(inspection.rollout, lags)
    assert all(len(bracket) == 1 for bracket in hand.brackets)
    assert hand.product == pytest.approx(float(hand.left), rel=0.01)
