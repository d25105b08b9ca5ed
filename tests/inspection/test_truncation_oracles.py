"""What truncation leaves of the gradient, window by window, and how clipping changes the shares of lags."""

from dataclasses import replace

import numpy as np
import pytest
from factory import CELLS, LENGTHS, lags_of, linear, made, orthogonal, probe_for, texts

from rnncli.config.rnn import TrainingConfig
from rnncli.inspection.evidence import window_coverage
from rnncli.inspection.inspect import Inspector, inspect
from rnncli.inspection.lag_collector import lag_slots
from rnncli.inspection.lag_matrix import WalkSettings, walk
from rnncli.inspection.lag_statistics import bias_horizon, share_error, shares, sum_error, truncation
from rnncli.inspection.rollout import roll_out
from rnncli.kernels import optim
from rnncli.rnn.network import Gradients, Network, NetworkSpec
from rnncli.rnn.optimiser import Optimiser, global_norm
from rnncli.rnn.truncation import tail_gradients, window_steps

BLOCKS = {"W_hh": "weight_hh", "W_ih": "weight_ih", "b": "bias"}


def block(network, dense_P, chain, name):
    slot = network.dense.slots[f"rnn.{BLOCKS[name]}_{chain.place.suffix}"]
    return dense_P[slot.offset : slot.offset + slot.size].reshape(slot.shape)


@pytest.mark.parametrize(("steps", "stride"), [(1, 1), (3, 3), (5, 5), (9, 9), (5, 2), (4, 1), (7, 3)])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_o19_training_in_windows_sums_the_pairs_that_lie_in_one(cell, layers, steps, stride):
    network, data, targets = made(cell, layers)

    def term(batch):
        return targets[batch.position_N], None

    trained = sum(
        part.weight * part.gradients.dense_P
        for part in window_steps(network, data, steps, stride, term, lambda window: None)
    )
    rollout = roll_out(network, data, targets)
    for chain, lags in zip(rollout.chains, walk(rollout, WalkSettings(window=(steps, stride))), strict=True):
        for name in BLOCKS:
            np.testing.assert_allclose(
                lags.sum_QGI[name].sum(axis=0), block(network, trained, chain, name), atol=1e-12, err_msg=name
            )


@pytest.mark.parametrize("tau", [1, 2, 3, 5, 7, 9])
@pytest.mark.parametrize("cell", CELLS)
def test_a_loss_at_the_end_that_goes_back_tau_steps_sums_the_lags_below_tau(cell, tau):
    network, data, targets = made(cell, pooling="last")
    trained, _ = tail_gradients(network, data, np.arange(data.n), tau, targets, None, None, 0.0)
    rollout = roll_out(network, data, targets)
    chain, lags = rollout.chains[0], walk(rollout, WalkSettings())[0]
    edges = lag_slots(9)
    kept = np.flatnonzero(edges == tau)[0]
    for name in BLOCKS:
        part = lags.sum_QGI[name][:kept].sum(axis=0)
        np.testing.assert_allclose(part, len(LENGTHS) * block(network, trained.dense_P, chain, name), atol=1e-12)
        whole = chain.gradients[name]
        bias = truncation(lags, edges).bias[name][kept - 1]
        assert bias == pytest.approx(np.linalg.norm(whole - part) / np.linalg.norm(whole), abs=1e-12)


@pytest.mark.parametrize(("tau", "count"), [(10, 6), (20, 3), (7, 50)])
def test_o19_windows_cover_one_minus_lag_over_tau(tau, count):
    """Of rows that end with a window: all of the steps, of which the first `lag` have no partner."""
    rollout = linear(0.9 * np.eye(2), (count * tau, count * tau), each=True)
    for lag in range(tau + 2):
        expected = max(0.0, 1 - lag / tau)
        found = window_coverage(rollout, lag, (tau, tau))
        assert found == pytest.approx(expected * count * tau / (count * tau - lag), abs=1e-12)
        if count == 50:
            assert found == pytest.approx(expected, abs=0.03)
    assert window_coverage(rollout, count * tau, (tau, tau)) is None  # no pair at all
    assert window_coverage(rollout, 3, (tau, 1)) == 1.0  # every loss goes back tau - 1 steps


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pooling", ["each", "last", "mean"])
def test_o20_shares_sum_to_one_and_nothing_is_lost_at_full_length(cell, pooling):
    network, data, targets = made(cell, pooling=pooling)
    rollout = roll_out(network, data, targets)
    chain, lags = rollout.chains[0], walk(rollout, WalkSettings())[0]
    by_block, by_gate = shares(lags)
    for name, share_L in by_block.items():
        assert share_L.sum() == pytest.approx(1.0, abs=1e-12), name
    assert by_gate.sum() == pytest.approx(1.0, abs=1e-12)
    assert share_error(chain, lags) < 1e-12
    assert sum_error(chain, lags) < 1e-12
    found = truncation(lags, lag_slots(9))
    for name, bias_D in found.bias.items():
        assert bias_D[-1] == 0.0, name
        assert found.cosine[name][-1] == pytest.approx(1.0, abs=1e-12)
    assert bias_horizon(found, 1e-15) <= 9


def test_o20_bias_and_shares_of_a_linear_net_are_plain_sums():
    """Against sums written out: G_l = sum over losses of delta outer h."""
    rollout = linear(0.8 * orthogonal(4, 1), (11, 6), each=True)
    lags = lags_of(rollout)
    chain = rollout.chains[0]
    by_lag = np.zeros((11, 4, 4))
    for a, b in zip(rollout.offsets[:-1], rollout.offsets[1:], strict=True):
        for t in range(a, b):
            delta = rollout.direct_NO[t]
            for k in range(t, a - 1, -1):
                by_lag[t - k] += np.outer(delta, chain.h_before_NH[k])
                delta = chain.w_hh_GH.T @ delta
    whole = by_lag.sum(axis=0)
    found = truncation(lags, lag_slots(11))
    for tau, bias in zip(found.steps_D, found.bias["W_hh"], strict=True):
        expected = np.linalg.norm(whole - by_lag[:tau].sum(axis=0)) / np.linalg.norm(whole)
        assert bias == pytest.approx(expected, abs=1e-12)
    with_gradient = replace(chain, gradients={**chain.gradients, "W_hh": whole})
    share_L = shares(lags_of(replace(rollout, layers=[[with_gradient]])))[0]["W_hh"]
    expected = np.array([(g * whole).sum() for g in by_lag]) / (whole**2).sum()
    np.testing.assert_allclose(share_L, expected, atol=1e-12)


def clipped_shares(rollout, change):
    """Shares of the W_hh update <G_l, U> / <G, U> where the update is U = change(G)."""
    chain = rollout.chains[0]
    moved = replace(chain, gradients={name: change(g) for name, g in chain.gradients.items()})
    return shares(walk(replace(rollout, layers=[[moved]]), WalkSettings())[0])[0]["W_hh"]


@pytest.mark.parametrize("cell", CELLS)
def test_o20_a_clipped_norm_leaves_shares_alone_and_clipped_values_do_not(cell):
    network, data, targets = made(cell)
    rollout = roll_out(network, data, targets)
    plain = clipped_shares(rollout, np.copy)
    norm = np.sqrt(sum((g**2).sum() for g in rollout.chains[0].gradients.values()))
    np.testing.assert_allclose(clipped_shares(rollout, lambda g: g * (0.01 / norm)), plain, atol=1e-12)

    def by_value(g):
        flat = g.flatten()
        optim.clip_values(flat, 0.3 * np.abs(rollout.chains[0].gradients["W_hh"]).max())
        return flat.reshape(g.shape)

    assert np.abs(clipped_shares(rollout, by_value) - plain).max() > 1e-3


def test_the_optimiser_clips_as_the_shares_assume():
    """clip_norm scales one step of SGD by one number; clip_value bends it."""
    network, data, targets = made("rnn")
    from rnncli.rnn.packing import pack

    batch = pack(data, np.arange(data.n))
    gradients = network.gradients(batch, targets[batch.position_N])

    def moved(**clip):
        after = network.astype(np.float64)
        Optimiser(TrainingConfig(optimizer="sgd", lr=1.0, **clip), after, True).step(
            after, Gradients(gradients.loss_M, gradients.dense_P.copy(), {}, {})
        )
        return network.dense.flat - after.dense.flat

    whole = moved(clip_norm=0.0)
    norm = global_norm(Gradients(gradients.loss_M, gradients.dense_P, {}, {}))
    np.testing.assert_allclose(moved(clip_norm=norm / 4), whole / 4, atol=1e-15)
    bent = moved(clip_norm=0.0, clip_value=float(np.abs(whole).max() / 4))
    cosine = bent @ whole / np.linalg.norm(bent) / np.linalg.norm(whole)
    assert cosine < 0.999


def tagger(**more):
    network = Network(NetworkSpec("rnn", "multiclass", 9, 4, 8, 3, pooling="each"))
    network.initialise("orthogonal", 2)
    data, targets = texts(20, 24, 9, classes=3, each=True, spread=6)
    return probe_for(
        network, data, targets, "tagger", training=TrainingConfig(bptt_steps=6), training_bptt=(6, 6), **more
    )


def test_as_trained_counts_only_pairs_in_one_window():
    whole, cut = (inspect(tagger(), Inspector("standard", as_trained=a)) for a in (False, True))
    assert max(i for i, n in enumerate(whole.layers[0]["lag"]["count"]) if n) > 5
    assert max(i for i, n in enumerate(cut.layers[0]["lag"]["count"]) if n) == 5
    for part in (cut, inspect(tagger(), Inspector(max_lag=4))):  # what was left out is no error of arithmetic
        assert all(error < 1e-10 for error in part.self_checks.values())
    assert whole.self_checks["lag_sum_error"] < 1e-12
    assert sum(cut.layers[0]["lag"]["share"]["W_hh"]) == pytest.approx(1.0, abs=1e-10)


def test_a_window_that_is_too_short_is_called_cut():
    found = inspect(tagger(need=8), Inspector()).to_json()["verdict"]
    assert found["label"] == "cut"
    assert found["severity"] == 3
    assert any(f["id"] == "V1" and "6 steps" in f["text"] for f in found["findings"])


def test_few_pairs_in_a_window_are_called_cut():
    """Lag 5 of windows of 6: one pair in six."""
    found = inspect(tagger(need=5), Inspector()).to_json()["verdict"]
    assert [f["severity"] for f in found["findings"] if f["id"] == "V1"] == [2]
