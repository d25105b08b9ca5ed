"""Update rules against their textbook form; sums that do not depend on anything but the data."""

import numpy as np
import pytest

from rnncli.config.rnn import TrainingConfig
from rnncli.kernels import optim
from rnncli.rnn.inputs import SparseRows
from rnncli.rnn.network import Gradients, Network, NetworkSpec
from rnncli.rnn.optimiser import BETA1, BETA2, EPSILON, Optimiser, global_norm


def make_network():
    network = Network(NetworkSpec("rnn", "binary", 50, 3, 4, 2), np.float64)
    network.initialise("uniform", 1)
    return network


def make_gradients(network, step, rows):
    rng = np.random.default_rng(step)
    rows = np.array(rows, np.int32)
    dense = rng.normal(size=network.dense.flat.size)
    return Gradients(np.zeros(1), dense, {"embedding": SparseRows(rows, rng.normal(size=(rows.size, 3)))})


def test_adam_is_algorithm_1_of_kingma_and_ba():
    network = make_network()
    config = TrainingConfig(lr=0.01, clip_norm=0)
    optimiser = Optimiser(config, network, True)
    theta = np.concatenate([network.dense.flat, network.embedding_VE.reshape(-1)])
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t in range(1, 6):
        g = make_gradients(network, t, range(50))  # every row touched: the sparse rule equals the dense one
        flat = np.concatenate([g.dense_P, g.sparse["embedding"].values_UE.reshape(-1)])
        m, v = BETA1 * m + (1 - BETA1) * flat, BETA2 * v + (1 - BETA2) * flat**2
        theta -= 0.01 * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + EPSILON)
        optimiser.step(network, g)
        own = np.concatenate([network.dense.flat, network.embedding_VE.reshape(-1)])
        np.testing.assert_allclose(own, theta, rtol=1e-12)


def test_sgd_with_momentum_and_decay():
    network = make_network()
    optimiser = Optimiser(
        TrainingConfig(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.01, clip_norm=0), network, True
    )
    theta, velocity = network.dense.flat.copy(), np.zeros(network.dense.flat.size)
    for t in range(4):
        g = make_gradients(network, t, [1, 7])
        velocity = 0.9 * velocity + g.dense_P + 0.01 * theta
        theta = theta - 0.1 * velocity
        optimiser.step(network, g)
        np.testing.assert_allclose(network.dense.flat, theta, rtol=1e-12)


def test_untouched_embedding_rows_stay():
    network = make_network()
    before = network.embedding_VE.copy()
    Optimiser(TrainingConfig(), network, True).step(network, make_gradients(network, 1, [2, 40]))
    changed = np.flatnonzero((network.embedding_VE != before).any(axis=1))
    assert list(changed) == [2, 40]


def test_a_frozen_embedding_is_neither_moved_nor_counted_in_the_norm():
    network = make_network()
    before, g = network.embedding_VE.copy(), make_gradients(network, 1, [2])
    norm = Optimiser(TrainingConfig(), network, False).step(network, g)
    np.testing.assert_array_equal(network.embedding_VE, before)
    assert norm == pytest.approx(np.linalg.norm(g.dense_P), rel=1e-12)


def test_clipping_scales_the_global_norm():
    network, twin = make_network(), make_network()
    g = make_gradients(network, 1, [3])
    norm = global_norm(g)
    assert norm == pytest.approx(
        np.sqrt((g.dense_P**2).sum() + (g.sparse["embedding"].values_UE ** 2).sum()), rel=1e-12
    )
    sgd = {"optimizer": "sgd", "lr": 1.0}
    returned = Optimiser(TrainingConfig(**sgd, clip_norm=0.5), network, True).step(network, g)
    assert returned == norm
    moved = np.concatenate([(network.dense.flat - twin.dense.flat), (network.embedding_VE - twin.embedding_VE).ravel()])
    assert np.linalg.norm(moved) == pytest.approx(0.5, rel=1e-12)


def test_a_gradient_that_is_not_finite_changes_nothing():
    network = make_network()
    before, g = network.dense.flat.copy(), make_gradients(network, 1, [3])
    g.dense_P[5] = np.nan
    assert np.isnan(Optimiser(TrainingConfig(), network, True).step(network, g))
    np.testing.assert_array_equal(network.dense.flat, before)


def test_square_sums_and_shard_sums():
    rng = np.random.default_rng(0)
    x = rng.normal(size=10_001).astype(np.float32)
    sums = np.empty(-(-x.size // optim.CHUNK))
    optim.square_sums(sums, x)
    assert sums.sum() == pytest.approx(float((x.astype(np.float64) ** 2).sum()), rel=1e-12)
    parts = rng.normal(size=(3, 10_001)).astype(np.float32)
    out = np.empty(10_001, np.float32)
    optim.sum_shards(out, parts)
    np.testing.assert_array_equal(out, (parts[0] + parts[1]) + parts[2])


RULES = {
    "sgd": lambda d, m, v, t: (m := 0.9 * m + d, v, m),
    "adagrad": lambda d, m, v, t: (m, v := v + d**2, d / (np.sqrt(v) + 1e-10)),
    "rmsprop": lambda d, m, v, t: (
        m := 0.9 * m + d / (np.sqrt(0.99 * v + 0.01 * d**2) + 1e-8), 0.99 * v + 0.01 * d**2, m,
    ),
    "adamw": lambda d, m, v, t: (
        m := 0.9 * m + 0.1 * d,
        v := 0.999 * v + 0.001 * d**2,
        (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_rules_are_those_of_their_papers(name):
    network = make_network()
    config = TrainingConfig(optimizer=name, lr=0.02, momentum=0.9, weight_decay=0.1, clip_norm=0)
    optimiser = Optimiser(config, network, True)
    dense, rows = network.dense.flat.copy(), network.embedding_VE[[1, 7]].copy()
    sums = [np.zeros_like(dense), np.zeros_like(dense), np.zeros_like(rows), np.zeros_like(rows)]
    for t in range(1, 5):
        g = make_gradients(network, t, [1, 7])
        decoupled = name == "adamw"
        d = g.dense_P if decoupled else g.dense_P + 0.1 * dense
        sums[0], sums[1], step = RULES[name](d, sums[0], sums[1], t)
        dense = dense - 0.5 * 0.02 * (step + (0.1 * dense if decoupled else 0.0))
        sums[2], sums[3], step = RULES[name](
            g.sparse["embedding"].values_UE, sums[2], sums[3], t
        )  # no decay for an embedding
        rows = rows - 0.5 * 0.02 * step
        optimiser.step(network, g, 0.5)
        np.testing.assert_allclose(network.dense.flat, dense, rtol=1e-11)
        np.testing.assert_allclose(network.embedding_VE[[1, 7]], rows, rtol=1e-11)


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_rules_match_torch(name):
    torch = pytest.importorskip("torch")
    network = make_network()
    kinds = {"sgd": "SGD", "adagrad": "Adagrad", "rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW"}
    more = {"momentum": 0.8} if name in ("sgd", "rmsprop") else {}
    theta = torch.nn.Parameter(torch.from_numpy(network.dense.flat.copy()))
    peer = getattr(torch.optim, kinds[name])([theta], lr=0.03, weight_decay=0.05, **more)
    own = Optimiser(TrainingConfig(optimizer=name, lr=0.03, weight_decay=0.05, clip_norm=0, **more), network, True)
    for t in range(5):
        g = make_gradients(network, t, [3])
        theta.grad = torch.from_numpy(g.dense_P.copy())
        peer.step()
        own.step(network, g)
        np.testing.assert_allclose(network.dense.flat, theta.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_clipping_by_value_comes_before_clipping_by_norm():
    network, twin = make_network(), make_network()
    g = make_gradients(network, 1, [3])
    expected = np.clip(g.dense_P, -0.3, 0.3)
    norm = global_norm(g)
    config = TrainingConfig(optimizer="sgd", lr=1.0, clip_value=0.3, clip_norm=0)
    assert Optimiser(config, network, True).step(network, g) == norm
    np.testing.assert_allclose(twin.dense.flat - network.dense.flat, expected, atol=1e-12)
    assert np.abs(twin.embedding_VE - network.embedding_VE).max() == pytest.approx(0.3)
