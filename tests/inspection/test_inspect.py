"""The instrument on networks: against the complex step, the training gradients, and thresholds that must bite."""

import json
from math import log

import numpy as np
import pytest

from rnncli.inspection.adjoints import walk_back
from rnncli.inspection.gradient_check import check_gradients
from rnncli.inspection.inspect import inspect
from rnncli.inspection.rollout import roll_out
from rnncli.inspection.verdict import Evidence, decimal, findings
from rnncli.pipelines.inspect_gradients import last_tokens
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import pack_batch


def make_network(cell="rnn", scale=1.0, head="binary", hidden=6):
    network = Network(NetworkSpec(cell, head, 9, 4, hidden, 2 if head == "binary" else 3), np.float64)
    network.initialise("orthogonal", 3)
    network.embedding_VE *= 5.0
    network.dense["rnn.weight_hh_l0"][:] *= scale
    return network


def make_data(lengths, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    return (
        rng.integers(0, 9, offsets[-1]).astype(np.int32),
        offsets,
        rng.integers(0, classes, len(lengths)).astype(np.int32),
    )


def complex_loss(network, tokens, y, step, unit):
    """Loss of one row with h_step moved by 1e-30 i in one unit: the derivative without any cancellation."""
    d = network.dense
    h = np.zeros(network.spec.hidden_size, complex)
    for t, token in enumerate(tokens, start=1):
        a = d["rnn.weight_ih_l0"] @ network.embedding_VE[token] + d["rnn.weight_hh_l0"] @ h + d["rnn.bias_l0"]
        h = np.tanh(a) if network.spec.cell == "rnn" else np.where(a.real > 0, a, 0)
        if t == step:
            h[unit] += 1e-30j
    z = d["head.weight"] @ h + d["head.bias"]
    if network.spec.head == "binary":
        return np.log(1 + np.exp(-z[0] if y == 1 else z[0]))
    return np.log(np.exp(z).sum()) - z[y]


@pytest.mark.parametrize("head", ["binary", "multiclass"])
@pytest.mark.parametrize("cell", ["rnn", "relu"])
def test_o21_adjoints_match_the_complex_step(cell, head):
    network = make_network(cell, head=head)
    ids, offsets, labels = make_data([6, 3], network.spec.classes)
    rollout = roll_out(network, ids, offsets, labels)
    adjoints = walk_back(rollout.rows, rollout.w_HH)
    for r in range(2):
        tokens = ids[offsets[r] : offsets[r + 1]]
        for lag in range(len(tokens)):
            step = len(tokens) - lag
            exact = [complex_loss(network, tokens, labels[r], step, u).imag / 1e-30 for u in range(6)]
            assert np.exp(adjoints.log_norm_LR[lag, r]) == pytest.approx(np.linalg.norm(exact), rel=1e-12)


def test_shares_and_adjoints_belong_to_the_training_gradient():
    """G summed over lags is the gradient of W_hh that training uses."""
    network = make_network()
    ids, offsets, labels = make_data([6, 3, 5])
    rollout = roll_out(network, ids, offsets, labels)
    batch = pack_batch(ids, offsets, np.arange(3))
    gradients = network.gradients(batch, labels[batch.rows_B])
    slot = network.dense.slots["rnn.weight_hh_l0"]
    trained = gradients.dense_P[slot.offset : slot.offset + slot.size].reshape(slot.shape)
    total = np.zeros_like(trained)
    for row in rollout.rows:
        delta = row.last_H
        for t in reversed(range(row.steps)):
            da = delta * row.d_TH[t]
            total += np.outer(da, row.h_before_TH[t]) / 3
            delta = rollout.w_HH.T @ da
    np.testing.assert_allclose(total, trained, atol=1e-13)


@pytest.mark.parametrize(("scale", "label"), [(1.0, None), (0.05, "vanishing"), (6.0, "exploding")])
@pytest.mark.parametrize("cell", ["relu", "rnn"])
def test_the_verdict_follows_the_weights(cell, scale, label):
    network = make_network(cell, scale, hidden=24)
    network.embedding_VE *= 0.02  # small inputs: tanh stays nearly linear at first
    ids, offsets, labels = make_data([10] * 60)
    result = inspect(network, ids, offsets, labels)
    labels_found = {f["label"] for f in result.verdict["findings"] if f["severity"] >= 2}
    assert result.verdict["need_lag_steps"] == 9
    if label is None:
        assert "exploding" not in labels_found
    elif (cell, label) != ("rnn", "exploding"):  # tanh saturates where weights are large: no promise either way
        assert label in labels_found


def test_json_is_strict_even_with_dead_gradients():
    network = make_network("relu")
    network.dense["rnn.bias_l0"][:] = -100.0
    ids, offsets, labels = make_data([4] * 5)
    text = json.dumps(inspect(network, ids, offsets, labels).to_json(), allow_nan=False)
    assert json.loads(text)["layers"][0]["saturation"]["relu_dead_units"] == 6


def test_self_checks_hold():
    ids, offsets, labels = make_data([12, 7, 9, 30])
    result = inspect(make_network(hidden=20), ids, offsets, labels)
    assert result.self_checks["share_sum_error"] < 1e-12
    assert result.self_checks["gain_split_error"] < 1e-10
    assert result.layers[0]["lag"]["count"][:8] == [4, 4, 4, 4, 4, 4, 4, 3]


def evidence(**changes):
    base = {
        "need": 20, "pairs_at_need": 100, "log_ratio_at_need": log(0.5), "interval": [log(0.4), log(0.6)],
        "half_life": 20.0, "peak": 0.0, "peak_lag": 0, "far_share": 0.4, "squash": -0.02, "weights": -0.01, "rho": 0.9,
        "henrici": 0.1, "loss_over_prior": 1.0,
    }  # fmt: skip
    return Evidence(**{**base, **changes})


def by_id(e):
    return {f.id: f for f in findings(e)}


def test_classes_of_the_ratio():
    for ratio, label, severity in (
        (0.2, "reaches", 0),
        (0.05, "weak", 1),
        (1e-3, "vanishing", 2),
        (1e-9, "vanishing", 3),
    ):
        found = by_id(evidence(log_ratio_at_need=log(ratio), interval=None))["V2"]
        assert (found.label, found.severity) == (label, severity)


def test_a_solved_task_is_not_called_sick():
    found = by_id(evidence(log_ratio_at_need=log(1e-9), loss_over_prior=0.01))["V2"]
    assert found.severity == 1
    assert "no defect" in found.text


def test_few_sequences_measure_nothing():
    assert by_id(evidence(pairs_at_need=29))["V0"].label == "not-measurable"


def test_spectral_radius_and_saturation_alone_never_make_a_verdict():
    """O28: radius 2.5 and strong squashing that cancel are balanced, neither exploding nor saturated."""
    found = by_id(evidence(rho=2.53, squash=-0.70, weights=0.65, half_life=None))
    assert found["V5"].label == "balanced"
    assert not {"V6", "V7"} & found.keys()


def test_the_cause_is_the_larger_negative_part():
    assert "weights shrink" in by_id(evidence(squash=-0.01, weights=-0.51))["V5"].text
    assert "saturated units" in by_id(evidence(squash=-0.51, weights=-0.01))["V6"].text


def test_never_says_cannot_learn():
    for ratio in (1e-12, 1e-3):
        for finding in findings(evidence(log_ratio_at_need=log(ratio), weights=-1.0)):
            assert "cannot" not in finding.text


def test_decimal_of_numbers_no_float_can_hold():
    assert decimal(-412 * log(10)) in ("1.0e-412", "10.0e-413")
    assert decimal(float("-inf")) == "0"
    assert decimal(log(0.25)) == "0.25"


def test_long_sequences_keep_their_last_tokens():
    ids, offsets = np.arange(10, dtype=np.int32), np.array([0, 7, 10])
    kept, cut = last_tokens(ids, offsets, 4)
    assert list(kept) == [3, 4, 5, 6, 7, 8, 9]
    assert list(cut) == [0, 4, 7]


@pytest.mark.parametrize("cell", ["rnn", "relu"])
def test_gradient_check_passes_and_sees_a_broken_gradient(cell, monkeypatch):
    network = make_network(cell)
    ids, offsets, labels = make_data([5, 3, 6])
    batch = pack_batch(ids, offsets, np.arange(3), 2)
    result = check_gradients(network, batch, labels[batch.rows_B], 1e-6)
    assert result.passed
    assert result.worst < 1e-8
    assert {row.name for row in result.parameters} == {*network.dense, "embedding.weight"}

    right = Network.gradients

    def wrong(self, *args):
        gradients = right(self, *args)
        gradients.dense_P[self.dense.slots["rnn.weight_hh_l0"].offset] *= 1.001
        return gradients

    monkeypatch.setattr(Network, "gradients", wrong)
    broken = check_gradients(network, batch, labels[batch.rows_B], 1e-6)
    assert not broken.passed
    assert [row.name for row in broken.parameters if row.relative_error > 1e-6] == ["rnn.weight_hh_l0"]
