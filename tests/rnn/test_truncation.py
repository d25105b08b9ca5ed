"""Truncated back-propagation: windows read what the whole reads, and stop gradients where they say."""

import numpy as np
import pytest
from gradcheck import central_differences, relative_error

from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences, pack
from rnncli.rnn.spec import NetworkSpec
from rnncli.rnn.training import combined
from rnncli.rnn.truncation import tail_gradients, window_steps, windows

V, C = 5, 3
LENGTHS = [7, 0, 3, 12, 1]


def make(cell, pooling, dtype=np.float64, layers=2):
    random = np.random.default_rng(3)
    network = Network(NetworkSpec(cell, "multiclass", V, 3, 4, C, layers=layers, pooling=pooling), dtype)
    network.initialise("orthogonal", 1)
    network.embedding_VE *= 8
    starts = np.append(0, np.cumsum(LENGTHS))[:-1].astype(np.int64)
    ids = random.integers(0, V, sum(LENGTHS)).astype(np.int32)
    size = sum(LENGTHS) if pooling == "each" else len(LENGTHS)
    return network, Sequences(starts, np.array(LENGTHS), ids), random.integers(0, C, size).astype(np.int32)


def run_windows(network, data, labels, steps, stride):
    def term(batch):
        return labels[batch.position_N], None

    return list(window_steps(network, data, steps, stride, term, lambda window: None))


@pytest.mark.parametrize("steps", [12, 100])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_steps_beyond_the_longest_row_are_full_backpropagation(cell, steps):
    network, data, labels = make(cell, "each", np.float32)
    (window,) = run_windows(network, data, labels, steps, steps)
    batch = pack(data, np.arange(data.n))
    whole = network.gradients(batch, labels[batch.position_N])
    np.testing.assert_array_equal(window.gradients.dense_P, whole.dense_P)
    network, data, labels = make(cell, "last", np.float32)
    tail, tokens = tail_gradients(network, data, np.arange(data.n), steps, labels, None, None, 0.0)
    batch = pack(data, np.arange(data.n))
    np.testing.assert_array_equal(tail.dense_P, network.gradients(batch, labels[batch.rows_B]).dense_P)
    assert tokens == sum(LENGTHS)


@pytest.mark.parametrize(("steps", "stride"), [(1, 1), (4, 4), (5, 2), (3, 1)])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_every_loss_is_counted_once_and_as_if_read_in_one_go(cell, steps, stride):
    network, data, labels = make(cell, "each", np.float32)
    batch = pack(data, np.arange(data.n))
    whole = np.sort(network.loss(batch, labels[batch.position_N]))
    parts = run_windows(network, data, labels, steps, stride)
    np.testing.assert_array_equal(np.sort(np.concatenate([p.gradients.loss_M for p in parts])), whole)
    assert sum(part.tokens for part in parts) == sum(LENGTHS)
    assert sum(part.weight for part in parts) == sum(LENGTHS)


def test_windows_cover_rows_as_said():
    assert [(w.begin, w.count, w.losses_from) for w in windows(7, 4, 2)] == [(0, 2, 0), (0, 4, 2), (2, 4, 4), (4, 4, 6)]
    assert [(w.begin, w.count, w.losses_from) for w in windows(7, 4, 4)] == [(0, 4, 0), (4, 4, 4)]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_gradients_stop_where_a_window_begins(cell):
    """The gradient of the second window is that of its losses with the state it began with held fixed."""
    network, data, labels = make(cell, "each", layers=1)
    whole = pack(data, np.arange(data.n))
    out = network.forward(whole)
    parts = run_windows(network, data, labels, 4, 4)
    second = Sequences(data.starts + 4, np.clip(data.lengths - 4, 0, 4), data.ids)
    batch = pack(second, np.arange(data.n))
    at = [
        np.flatnonzero(whole.position_N == p - 1)[0] if n else -1
        for p, n in zip(second.starts, second.lengths, strict=True)
    ]
    start = [state[batch.rows_B] for state in network.stack.states_at(out.run, np.array(at))]

    def loss():
        fixed = network.forward(batch, None, start)
        return float(network.losses_of(fixed, batch, labels[batch.position_N]).mean())

    assert relative_error(parts[1].gradients.dense_P, central_differences(loss, network.dense.flat)) < 1e-6


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_truncated_classifier_keeps_its_losses_and_loses_the_far_gradient(cell):
    network, data, labels = make(cell, "last")
    rows = np.arange(data.n)
    whole = pack(data, rows)
    expected = network.gradients(whole, labels[whole.rows_B])
    tail, _ = tail_gradients(network, data, rows, 3, labels, None, None, 0.0)
    np.testing.assert_allclose(np.sort(tail.loss_M), np.sort(expected.loss_M), rtol=1e-14)
    assert relative_error(tail.dense_P, expected.dense_P) > 1e-3
    touched = {
        int(i) for s, n in zip(data.starts, data.lengths, strict=True) for i in data.ids[s + max(0, n - 3) : s + n]
    }
    assert {int(r) for r in tail.sparse["embedding"].rows_U} == touched


def test_windows_of_different_batches_make_one_mean():
    network, data, labels = make("rnn", "each")
    parts = run_windows(network, data, labels, 100, 100)
    again = combined([(part.gradients, part.weight) for part in parts * 2])
    np.testing.assert_allclose(again.dense_P, parts[0].gradients.dense_P, atol=1e-15)
