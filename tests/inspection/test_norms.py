"""Gradient norms and the size of one update: against NumPy, the optimiser itself, and tails whose index is known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rnncli import rng
from rnncli.config.rnn import TrainingConfig
from rnncli.inspection.norms import (
    Clip,
    NormReport,
    measure_norms,
    norms_of_gradients,
    tail_index,
    update_ratio,
)
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.optimiser import Optimiser, global_norm
from rnncli.rnn.packing import pack_batch

V = 9


def draws(n, high, part):
    return np.floor(rng.uniforms(rng.key(4, rng.Stream.CHECK, part=part), n) * high).astype(np.int32)


def make_network(**more):
    network = Network(NetworkSpec("rnn", "multiclass", V, 4, 5, V if more else 3, **more), np.float64)
    network.initialise("orthogonal", 3)
    network.embedding_VE *= 5.0
    return network


def make_batches(network, count=12):
    """Minibatches of three rows."""
    for i in range(count):
        offsets = np.append(0, np.cumsum(1 + draws(3, 6, 100 + i))).astype(np.int64)
        batch = pack_batch(draws(offsets[-1], V, 200 + i), offsets, np.arange(3))
        terms = batch.ids_N.size if network.spec.each else 3
        yield batch, draws(terms, network.spec.outputs, 300 + i), rng.uniforms(rng.key(i, rng.Stream.CHECK), terms)


def dense_gradients(network, gradients):
    """Every block's gradient as a whole array."""
    found = {}
    for name, slot in network.dense.slots.items():
        found[name] = gradients.dense_P[slot.offset : slot.offset + slot.size].reshape(slot.shape)
    for name, table in network.tables.items():
        whole = np.zeros_like(table)
        if name in gradients.full:
            whole += gradients.full[name]
        else:
            whole[gradients.sparse[name].rows_U] = gradients.sparse[name].values_UE
        found[name] = whole
    return found


def report(norms, clip=None):
    norms = np.asarray(norms, np.float64)
    clip = clip or Clip()
    return NormReport(norms, {"b": norms}, clip, norms > clip.norm if clip.norm else np.zeros(norms.size, bool))


@pytest.mark.parametrize("more", [{}, {"pooling": "each"}, {"pooling": "each", "layers": 2, "bidirectional": True}])
def test_norms_are_those_of_numpy_and_the_optimiser(more):
    network = make_network(**more)
    found = measure_norms(network, make_batches(network), Clip(norm=1.42))
    for i, (batch, targets, weights) in enumerate(make_batches(network)):
        gradients = network.gradients(batch, targets, weights_M=weights)
        blocks = dense_gradients(network, gradients)
        assert found.blocks.keys() == blocks.keys()
        for name, whole in blocks.items():
            assert found.blocks[name][i] == pytest.approx(np.linalg.norm(whole), rel=1e-12)
        assert found.global_N[i] == global_norm(gradients)
        total = np.sqrt(sum(np.linalg.norm(whole) ** 2 for whole in blocks.values()))
        assert found.global_N[i] == pytest.approx(total, rel=1e-12)
    assert found.clipped_share == np.mean(found.global_N > 1.42)


def test_a_tied_table_and_a_frozen_embedding():
    tied = Network(NetworkSpec("rnn", "multiclass", V, 5, 5, V, pooling="each", tied=True), np.float64)
    tied.initialise("orthogonal", 3)
    found = measure_norms(tied, make_batches(tied), Clip(), train_embedding=False)
    assert "embedding" in found.blocks  # a tied one is always trained
    network = make_network()
    found = measure_norms(network, make_batches(network), Clip(), train_embedding=False)
    assert "embedding" not in found.blocks
    square = sum(norm_N**2 for norm_N in found.blocks.values())
    np.testing.assert_allclose(found.global_N, np.sqrt(square), rtol=1e-12)


@pytest.mark.parametrize("clip", [Clip(norm=1.42), Clip(value=0.5), Clip(norm=1.42, value=0.65), Clip()])
def test_the_clipped_share_is_what_the_optimiser_does(clip):
    """With plain SGD and lr 1 the step is the gradient, unless it was clipped."""
    network = make_network()
    config = TrainingConfig(optimizer="sgd", lr=1.0, clip_norm=clip.norm, clip_value=clip.value)
    assert Clip.of(config) == clip
    changed = []
    for batch, targets, weights in make_batches(network):
        steps = []
        for how in (config, config.model_copy(update={"clip_norm": 0.0, "clip_value": 0.0})):
            moved = network.astype(np.float64)
            Optimiser(how, moved, True).step(moved, network.gradients(batch, targets, weights_M=weights))
            steps.append(np.append(moved.dense.flat, moved.embedding_VE))
        changed.append(not np.allclose(*steps, rtol=0, atol=1e-12))
    found = measure_norms(network, make_batches(network), clip)
    assert found.clipped_N.tolist() == changed
    assert found.clipped_share == np.mean(changed)
    assert 0 < np.mean(changed) < 1 or clip == Clip()


def test_quantiles_count_what_is_not_finite_and_the_json_holds_none_of_it():
    norms = np.append(np.arange(1.0, 101.0), [np.nan, np.inf, 0.0])
    found = report(norms, Clip(norm=90.0)).to_json()
    finite = norms[np.isfinite(norms)]
    assert found["steps"] == 103
    assert found["global"]["nonfinite"] == 2
    assert found["global"]["p50"] == np.median(finite)
    assert found["global"]["p90"] == np.quantile(finite, 0.9)
    assert found["global"]["max_over_median"] == 100.0 / np.median(finite)
    assert found["clip"] == {"type": "norm", "value": 90.0, "fraction": 10 / 101, "suggested": None}
    assert found["values_log10"][9] == pytest.approx(1.0)
    assert found["values_log10"][-3:] == [None, None, None]
    json.dumps(found, allow_nan=False)
    for nothing in ([np.nan], [0.0, 0.0], []):
        json.dumps(report(nothing).to_json(), allow_nan=False)
    assert report([1.0]).to_json()["clip"]["type"] == "none"


def test_the_suggested_threshold_lies_between_the_median_and_the_90_percent_point():
    u = rng.uniforms(rng.key(1, rng.Stream.CHECK), 400)
    middling = -np.log1p(-u)
    for norms in (
        middling,
        u**-2.0,
        1.0 - u**5,
    ):  # so heavy that the mean is above the 90 % point; mean below the median
        middle, high = np.quantile(norms, [0.5, 0.9])
        assert report(norms).suggested == np.clip(norms.mean(), middle, high)
        assert report(norms[:199]).suggested is None
    assert report(middling).suggested == middling.mean()
    assert (u**-2.0).mean() > np.quantile(u**-2.0, 0.9)


@pytest.mark.parametrize("alpha", [0.8, 2.0, 4.0])
def test_the_hill_estimate_finds_the_index_of_a_pareto_tail(alpha):
    u = rng.uniforms(rng.key(2, rng.Stream.CHECK), 20_000)
    values = (1.0 - u) ** (-1.0 / alpha)  # P(X > x) = x^-alpha
    found = tail_index(values)
    assert found == pytest.approx(alpha, rel=4 / np.sqrt(2000))
    largest = sorted(values, reverse=True)
    assert found == pytest.approx(1 / np.mean([np.log(x / largest[2000]) for x in largest[:2000]]), rel=1e-12)


def test_the_hill_estimate_needs_ten_values_that_differ():
    u = 1.0 + rng.uniforms(rng.key(3, rng.Stream.CHECK), 100)
    assert tail_index(u) is not None
    assert tail_index(u[:99]) is None
    assert tail_index(np.ones(200)) is None
    assert tail_index(np.append(np.zeros(195), np.ones(5))) is None


def one_gradient(network):
    batch, targets, _ = next(iter(make_batches(network)))
    return network.gradients(batch, targets)


def test_an_sgd_update_is_the_clipped_gradient_times_the_rate():
    network = make_network()
    gradients = one_gradient(network)
    norm = global_norm(gradients)
    config = TrainingConfig(optimizer="sgd", lr=0.3, clip_norm=norm / 4)
    network.dense["head.bias"][:] = 0.0
    found = update_ratio(network, gradients, config, lr_factor=0.5)
    assert found["head.bias"] is None  # nothing to relate it to
    for name in ("rnn.weight_hh_l0", "rnn.weight_ih_l0", "head.weight"):
        whole = dense_gradients(network, gradients)[name]
        expected = 0.15 * 0.25 * np.linalg.norm(whole) / np.linalg.norm(network.dense[name])
        assert found[name] == pytest.approx(expected, rel=1e-10)
    rows = gradients.sparse["embedding"]
    expected = 0.15 * 0.25 * np.linalg.norm(rows.values_UE) / np.linalg.norm(network.embedding_VE[rows.rows_U])
    assert found["embedding"] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_the_update_is_the_real_one_and_nothing_that_was_given_changes(optimizer):
    network = make_network(pooling="each")
    config = TrainingConfig(optimizer=optimizer, lr=0.01, clip_value=0.05, weight_decay=0.1)
    running = Optimiser(config, network, True)
    running.step(network, one_gradient(network))
    gradients = one_gradient(network)
    kept = [network.dense.flat, *network.tables.values(), gradients.dense_P, *running.state.values()]
    kept += [rows.values_UE for rows in gradients.sparse.values()]
    before, steps = [array.copy() for array in kept], running.steps
    fresh, found = update_ratio(network, gradients, config), update_ratio(network, gradients, config, optimiser=running)
    for array, was in zip(kept, before, strict=True):
        np.testing.assert_array_equal(array, was)
    assert running.steps == steps
    moved = network.astype(np.float64)
    running.step(moved, one_gradient(network))
    for name in network.dense.slots:
        old, new = network.dense[name], moved.dense[name]
        assert found[name] == pytest.approx(np.linalg.norm(new - old) / np.linalg.norm(old), rel=1e-10)
    if optimizer == "adam":
        w = network.dense["rnn.weight_hh_l0"]
        assert fresh["rnn.weight_hh_l0"] == pytest.approx(0.01 * np.sqrt(w.size) / np.linalg.norm(w), rel=1e-2)


def test_measuring_norms_leaves_the_network_as_it_is():
    network = make_network()
    before = [network.dense.flat.copy(), network.embedding_VE.copy()]
    measure_norms(network, make_batches(network), Clip(norm=0.1, value=0.01))
    np.testing.assert_array_equal(network.dense.flat, before[0])
    np.testing.assert_array_equal(network.embedding_VE, before[1])


def test_a_gradient_that_is_not_finite_moves_nothing():
    network = make_network()
    broken = one_gradient(network)
    broken = replace(broken, dense_P=np.full_like(broken.dense_P, np.nan))
    assert set(update_ratio(network, broken, TrainingConfig()).values()) == {None}
    found = norms_of_gradients(network, [broken, one_gradient(network)], Clip(value=1e-9))
    assert (int((~found.finite_N).sum()), found.clipped_share) == (1, 1.0)
    frozen = update_ratio(network, one_gradient(network), TrainingConfig(), train_embedding=False)
    assert "embedding" not in frozen
    assert all(value is None or value > 0 for value in frozen.values())
