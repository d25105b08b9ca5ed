"""Numbers that others published or that the design study measured: baselines, C3 on real text, C7's solved net, torch."""

import gzip
from math import log

import numpy as np
import pytest
from factory import lags_of, probe_for

from rnncli.config.inspection import InspectConfig
from rnncli.config.rnn import TrainingConfig
from rnncli.data.probes import adding, copy_memory_loss, recall
from rnncli.inspection.inspect import Inspector, inspect
from rnncli.inspection.lag_statistics import lag_curve
from rnncli.inspection.rollout import roll_out
from rnncli.pipelines.probes import synthetic_probe
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.packing import Sequences, pack


def uniform_net(spec, seed):
    """Everything U(+-1/sqrt(H)) as in torch (two biases, added), the embedding one-hot."""
    network, bound = Network(spec), spec.hidden_size**-0.5
    rng = np.random.default_rng(seed)
    network.dense.flat[:] = rng.uniform(-bound, bound, network.dense.flat.size)
    network.dense["rnn.bias_l0"][:] += rng.uniform(-bound, bound, spec.hidden_size)
    network.embedding_VE[:] = np.eye(spec.vocabulary, spec.embedding_dim)
    return network


def test_o23_the_constant_predictor_of_the_adding_problem():
    targets = adding(1, 40_000, 20).targets
    assert np.mean((targets - 1.0) ** 2) == pytest.approx(1 / 6, abs=2e-3)
    assert np.sqrt(1 / 6) == pytest.approx(0.408248, abs=1e-6)
    assert synthetic_probe(InspectConfig(probe="adding", length=20, sequences=8)).prior_loss == pytest.approx(1 / 6)


@pytest.mark.parametrize(("delay", "loss"), [(100, 0.17329), (200, 0.09452), (500, 0.03999), (1000, 0.020387)])
def test_o24_copy_memory_without_memory(delay, loss):
    assert copy_memory_loss(delay) == pytest.approx(loss, abs=5e-6)


def test_o24_is_the_prior_of_the_probe():
    probe = synthetic_probe(InspectConfig(probe="copy", length=30, sequences=4))
    assert probe.prior_loss == pytest.approx(10 * log(8) / 50)
    assert probe.need == 40


def test_o25_the_total_adjoint_of_real_text_looks_healthy_and_each_loss_sees_two_steps(real_data):
    """C3: tanh, H 64, T 60, characters one-hot, all weights U(+-1/8), untrained, a loss at every step."""
    text = gzip.decompress((real_data / "tinyshakespeare" / "input.txt.gz").read_bytes()).decode()
    letters = sorted(set(text))
    ids = np.searchsorted(np.array(letters), np.array(list(text[: 32 * 61]))).astype(np.int32).reshape(32, 61)
    size = len(letters)
    network = uniform_net(NetworkSpec("rnn", "multiclass", size, size, 64, size, pooling="each"), 1)
    data = Sequences.of_texts(ids[:, :-1].reshape(-1), np.arange(33, dtype=np.int64) * 60)
    rollout = roll_out(network, data, ids[:, 1:].reshape(-1))
    lags = lags_of(rollout, sums=False)
    total = np.median(np.linalg.norm(lags.total_Nn.reshape(32, 60, 64), axis=2), axis=0)
    assert total[[0, 30, 59]] == pytest.approx([0.699, 0.710, 0.582], rel=0.25)  # the study's draw of weights
    assert total.max() / total.min() < 2  # "healthy"
    curve = lag_curve(lags.log_norm_LA)
    norm = np.exp(curve.log_norm_p50_L)
    assert norm[0] == pytest.approx(0.574, rel=0.1)
    assert int(np.flatnonzero(np.exp(curve.p50_L) < 0.5)[0]) == 2
    for lag, study in ((5, 3.0e-2), (10, 1.8e-3), (30, 1.8e-8), (59, 2.1e-15)):
        assert np.log10(norm[lag]) == pytest.approx(np.log10(study), abs=0.3 + 0.015 * lag)
    again = [float(f"{v:.3g}") for v in (total[0], total[30], total[59], norm[0], norm[10])]
    assert again == OWN_DRAW  # a fixed seed, to three digits


OWN_DRAW = [0.683, 0.67, 0.569, 0.569, 0.00133]


def test_o27_torch_shows_zeros_where_the_gradient_is_not():
    """out.grad holds only what each loss gives directly: 0 at every step but the last, though dL/dh there is not."""
    torch = pytest.importorskip("torch")
    network = uniform_net(NetworkSpec("rnn", "multiclass", 5, 5, 6, 3), 2)
    ids = np.array([0, 3, 1, 4, 2, 2, 0, 1], np.int32)
    peer = torch.nn.RNN(5, 6)
    dense = network.dense
    with torch.no_grad():
        for name, ours in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias_ih", "bias")):
            getattr(peer, f"{name}_l0").copy_(torch.from_numpy(dense[f"rnn.{ours}_l0"].copy()))
        peer.bias_hh_l0.zero_()
    peer = peer.double()
    x = torch.eye(5, dtype=torch.float64)[ids].requires_grad_()
    out, _ = peer(x)
    out.retain_grad()
    head = (
        torch.from_numpy(dense["head.weight"].astype(np.float64)),
        torch.from_numpy(dense["head.bias"].astype(np.float64)),
    )
    torch.nn.functional.cross_entropy((out[-1] @ head[0].T + head[1])[None], torch.tensor([1])).backward()
    assert (out.grad[:-1] == 0).all()  # "dead"
    data = Sequences.of_texts(ids, np.array([0, 8]))
    lags = lags_of(roll_out(network, data, np.array([1], np.int32)), inputs=True)
    assert (np.exp(lags.log_norm_LA[:, 0]) > 0).all()
    assert np.exp(lags.log_norm_LA[0, 0]) == pytest.approx(float(out.grad[-1].norm()), rel=1e-6)
    ours = np.exp(lags.input_log_LA[::-1, 0])  # by step
    np.testing.assert_allclose(ours, np.linalg.norm(x.grad.numpy(), axis=1), rtol=1e-6)


def trained_on_recall(seed, steps=600, delay=16):
    network = uniform_net(NetworkSpec("rnn", "multiclass", 12, 12, 48, 4), seed)
    rule = Optimiser(TrainingConfig(optimizer="adam", lr=2e-3, clip_norm=1.0), network, False)
    for step in range(steps):
        rows, _ = recall(seed, 32, delay, first=32 * step)
        batch = pack(Sequences.of_texts(rows.ids, rows.offsets), np.arange(32))
        rule.step(network, network.gradients(batch, rows.labels[batch.rows_B]))
    return network


def looked_at(network, delay=16, trained=True):
    rows, _ = recall(99, 200, delay)
    data, training = Sequences.of_texts(rows.ids, rows.offsets), TrainingConfig(lr=2e-3, clip_norm=1.0)
    probe = probe_for(network, data, rows.labels, need=delay, prior_loss=log(4), training=training, trained=trained)
    return inspect(probe, Inspector()).to_json()


def test_o28_before_training_the_gradient_of_the_recall_net_vanishes():
    found = looked_at(trained_on_recall(5, steps=0), trained=False)
    assert found["verdict"]["label"] == "vanishing"
    assert 10 ** found["verdict"]["ratio_at_need_log10"] == pytest.approx(2.2e-4, rel=1)
    gain = found["layers"][0]["gain_nats_per_step"]
    assert (gain["squash"], gain["weights"]) == (pytest.approx(-0.02, abs=0.03), pytest.approx(-0.51, abs=0.08))
    assert found["layers"][0]["weights"][0]["rho"] == pytest.approx(0.62, abs=0.06)


# Of seeds 0-25 17 had solved the task after 600 steps; their sums of gains lie in -.07 .. -.13. 6 and 18 are two of them.
@pytest.mark.parametrize("seed", [6, 18])
def test_o28_the_solved_recall_net_is_balanced_although_it_is_saturated_and_its_radius_is_large(seed):
    found = looked_at(trained_on_recall(seed))
    layer, gain = found["layers"][0], found["layers"][0]["gain_nats_per_step"]
    assert found["input"]["accuracy"] == 1.0
    assert found["input"]["loss"] < 5e-3
    assert layer["weights"][0]["rho"] > 2
    assert layer["saturation"]["frac_abs_gt_0_9"] > 0.4
    assert gain["squash"] < -0.5  # both are large,
    assert gain["weights"] > 0.5
    assert abs(gain["total"]) < 0.1  # and cancel
    assert 10 ** found["verdict"]["ratio_at_need_log10"] > 0.1
    assert found["verdict"]["label"] == "balanced"
    by_id = {f["id"]: f for f in found["verdict"]["findings"]}
    assert by_id["V2"]["severity"] == by_id["V5"]["severity"] == 0
    assert not {"V6", "V7"} & by_id.keys()
