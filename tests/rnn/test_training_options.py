"""Schedules, class weights, label smoothing, accumulation: each against its definition."""

import numpy as np
import pytest
from gradcheck import central_differences, relative_error

from rnncli.config.rnn import TrainingConfig
from rnncli.data.labelled import LabelledIds
from rnncli.errors import ConfigError
from rnncli.rnn.classification import label_weights
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import pack_batch
from rnncli.rnn.schedule import factor, plateaus
from rnncli.rnn.training import combined

V = 6


def make(head, classes=3, seed=0):
    random = np.random.default_rng(seed)
    network = Network(NetworkSpec("gru", head, V, 3, 4, classes), np.float64)
    network.initialise("orthogonal", 1)
    network.embedding_VE *= 5.0
    offsets = np.array([0, 3, 5, 9, 10, 14], np.int64)
    ids = random.integers(0, V, 14).astype(np.int32)
    return network, ids, offsets, random.integers(0, classes, 5).astype(np.int32)


def test_constant_and_warm_up():
    config = TrainingConfig(warmup=0.1)
    assert [factor(config, s, 100, 0) for s in (0, 4, 9, 10, 99)] == pytest.approx([0.1, 0.5, 1.0, 1.0, 1.0])
    assert factor(TrainingConfig(), 0, 100, 3) == 1.0


def test_linear_and_cosine_fall_to_a_thousandth():
    linear, cosine = TrainingConfig(schedule="linear"), TrainingConfig(schedule="cosine", warmup=0.2)
    assert [factor(linear, s, 100, 0) for s in (0, 50, 100)] == pytest.approx([1.0, 0.5, 1e-3])
    assert [factor(cosine, s, 100, 0) for s in (0, 20, 60, 100)] == pytest.approx([0.05, 1.0, 0.5005, 1e-3])
    for config in (linear, cosine):
        values = [factor(config, s, 50, 0) for s in range(10, 51)]
        assert values == sorted(values, reverse=True)


def test_plateaus_count_waits_that_were_in_vain():
    assert plateaus([True, False, False, True, False], 2) == 1
    assert plateaus([True, False, False, False, False], 2) == 2
    assert plateaus([True] * 5, 1) == 0
    config = TrainingConfig(schedule="plateau", plateau_factor=0.25)
    assert factor(config, 7, 100, 2) == 0.0625


@pytest.mark.parametrize("head", ["binary", "multiclass"])
def test_weights_and_smoothing_are_what_the_gradient_is_of(head):
    classes = 2 if head == "binary" else 3
    network, ids, offsets, labels = make(head, classes)
    batch = pack_batch(ids, offsets, np.arange(5), 2)
    y, weights = labels[batch.rows_B], np.array([0.5, 2.0, 1.0, 3.0, 0.1])

    def loss():
        logits = network.forward(batch).logits_MC
        z = np.concatenate([np.zeros_like(logits), logits], axis=1) if head == "binary" else logits
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        q = np.full(z.shape, 0.2 / classes)
        q[np.arange(5), y] += 0.8
        return float((-(q * log_p).sum(axis=1) * weights).sum() / weights.sum())

    gradients = network.gradients(batch, y, weights_M=weights, smoothing=0.2)
    assert float((gradients.loss_M * weights).sum() / weights.sum()) == pytest.approx(loss(), rel=1e-12)
    assert relative_error(gradients.dense_P, central_differences(loss, network.dense.flat)) < 1e-6


def test_cross_entropy_with_weights_and_smoothing_matches_torch():
    torch = pytest.importorskip("torch")
    network, ids, offsets, labels = make("multiclass")
    batch = pack_batch(ids, offsets, np.arange(5))
    y, by_class = labels[batch.rows_B], np.array([0.5, 2.0, 1.5])
    logits = torch.from_numpy(network.forward(batch).logits_MC)
    expected = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(y.astype(np.int64)), torch.from_numpy(by_class)
    )
    gradients = network.gradients(batch, y, weights_M=by_class[y])
    own = (gradients.loss_M * by_class[y]).sum() / by_class[y].sum()
    assert own == pytest.approx(expected.item(), rel=1e-12)
    smooth = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y.astype(np.int64)), label_smoothing=0.3)
    assert network.gradients(batch, y, smoothing=0.3).loss_M.mean() == pytest.approx(smooth.item(), rel=1e-12)


def test_accumulated_gradients_are_those_of_one_large_batch():
    network, ids, offsets, labels = make("multiclass")
    whole = pack_batch(ids, offsets, np.arange(5))
    expected = network.gradients(whole, labels[whole.rows_B])
    parts = []
    for rows in (np.array([0, 1, 4]), np.array([2, 3])):
        batch = pack_batch(ids, offsets, rows)
        parts.append((network.gradients(batch, labels[batch.rows_B]), float(len(rows))))
    got = combined(parts)
    np.testing.assert_allclose(got.dense_P, expected.dense_P, atol=1e-12)
    np.testing.assert_array_equal(got.sparse["embedding"].rows_U, expected.sparse["embedding"].rows_U)
    np.testing.assert_allclose(got.sparse["embedding"].values_UE, expected.sparse["embedding"].values_UE, atol=1e-12)


def test_label_weights():
    data = LabelledIds(np.zeros(6, np.int32), np.arange(7), np.array([0, 0, 0, 1, 1, 2], np.int32))
    labels = ["a", "b", "c"]
    assert label_weights(TrainingConfig(), data.labels, labels) is None
    balanced = label_weights(TrainingConfig(class_weights="balanced"), data.labels, labels)
    np.testing.assert_allclose(balanced, [6 / 9, 1.0, 2.0])
    np.testing.assert_allclose(
        label_weights(TrainingConfig(class_weights={"b": 3.0}), data.labels, labels), [1.0, 3.0, 1.0]
    )
    with pytest.raises(ConfigError, match="no label 'd'"):
        label_weights(TrainingConfig(class_weights={"d": 3.0}), data.labels, labels)
