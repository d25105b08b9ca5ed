"""Loss by the number of inputs read: against windows read one by one in NumPy, and networks whose memory is known."""

import json
from math import log

import numpy as np
import pytest

from rnncli import rng
from rnncli.data.probes import recall
from rnncli.inspection.context_use import ContextUse, context_use
from rnncli.rnn.classification import sequences_of
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import Sequences

V, C = 7, 3


def draws(n, high, part):
    return np.floor(rng.uniforms(rng.key(5, rng.Stream.CHECK, part=part), n) * high).astype(np.int32)


def make_network(head="multiclass", dtype=np.float64, hidden=5, classes=C, **more):
    dim = hidden if more.get("tied") else 4
    network = Network(NetworkSpec("rnn", head, V, dim, hidden, classes, **more), dtype)
    network.initialise("orthogonal", 3)
    for table in network.tables.values():
        table *= 8.0
    network.dense.flat += 0.3 * rng.normals(rng.key(6, rng.Stream.CHECK), network.dense.flat.size).astype(dtype)
    return network


def make_rows(lengths):
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    return Sequences.of_texts(draws(offsets[-1], V, 1), offsets)


def states(network, tokens, suffix=""):
    """Tanh states of one direction, in the order read."""
    d, h, found = network.dense, np.zeros(network.spec.hidden_size), []
    for token in tokens:
        a = d[f"rnn.weight_ih_l0{suffix}"] @ network.embedding_VE[token] + d[f"rnn.weight_hh_l0{suffix}"] @ h
        h = np.tanh(a + d[f"rnn.bias_l0{suffix}"])
        found.append(h)
    return found


def cross_entropy(network, read, label):
    weight = network.readout.weight(network.dense, network.tables)
    z = weight @ read + network.dense["head.bias"]
    return float(np.log(np.exp(z).sum()) - z[label])


def naive_row(network, tokens, label):
    both = [states(network, tokens)]
    if network.spec.bidirectional:
        both.append(states(network, tokens[::-1], "_reverse"))
    ways = {"last": lambda h: h[-1], "mean": lambda h: np.mean(h, axis=0)}
    return cross_entropy(network, np.concatenate([ways[network.spec.pooling](h) for h in both]), label)


def naive_place(network, tokens, at, label):
    read = [states(network, tokens[: at + 1])[-1]]
    if network.spec.bidirectional:
        read.append(states(network, tokens[at:][::-1], "_reverse")[-1])
    return cross_entropy(network, np.concatenate(read), label)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_pooled_head_reads_the_last_n_tokens(pooling, bidirectional):
    network = make_network(pooling=pooling, bidirectional=bidirectional)
    data, labels = make_rows([5, 1, 9, 3, 9]), draws(5, C, 2)
    use = context_use(network, data, labels, contexts=[1, 2, 3, 8, 9])
    texts = [data.ids[a : a + n] for a, n in zip(data.starts, data.lengths, strict=True)]
    full = np.mean([naive_row(network, text, y) for text, y in zip(texts, labels, strict=True)])
    assert use.loss == pytest.approx(full, rel=1e-12)
    for n, delta in zip(use.n_L, use.delta_L, strict=True):
        short = np.mean([naive_row(network, text[-n:], y) for text, y in zip(texts, labels, strict=True)])
        assert delta == pytest.approx(short - full, abs=1e-12)
    assert use.delta_L[-1] == 0.0
    np.testing.assert_allclose(use.cut_L, [0.8, 0.8, 0.6, 0.4, 0.0])
    assert use.window == "last n inputs"


@pytest.mark.parametrize("way", [{}, {"bidirectional": True}, {"tied": True, "classes": V}])
@pytest.mark.parametrize("terms", [1000, 6])
def test_a_head_at_each_token_reads_windows(way, terms):
    network = make_network(pooling="each", **way)
    data = make_rows([5, 1, 9, 3, 9])
    labels = draws(27, network.spec.classes, 2)
    labels[[0, 4, 13]] = -1  # not known
    use = context_use(network, data, labels, contexts=[1, 2, 4, 8, 9], terms=terms, seed=3)
    places = [(a, n, t) for a, n in zip(data.starts, data.lengths, strict=True) for t in range(n) if labels[a + t] >= 0]
    assert use.terms == min(terms, len(places))
    if terms == 6:
        order = rng.permutation(rng.key(3, rng.Stream.LOSS_TERMS), len(places))
        places = [places[i] for i in sorted(order[:6])]
    both = network.spec.bidirectional
    assert ("both sides" in use.window) == both
    full = [naive_place(network, data.ids[a : a + n], t, labels[a + t]) for a, n, t in places]
    assert use.loss == pytest.approx(np.mean(full), rel=1e-12)
    for n_read, delta, error in zip(use.n_L, use.delta_L, use.error_L, strict=True):
        change = []
        for (a, n, t), loss in zip(places, full, strict=True):
            begin, end = max(0, t - n_read + 1), min(n, t + n_read) if both else t + 1
            change.append(naive_place(network, data.ids[a + begin : a + end], t - begin, labels[a + t]) - loss)
        assert delta == pytest.approx(np.mean(change), abs=1e-12)
        assert error == pytest.approx(np.std(change, ddof=1) / np.sqrt(len(change)), abs=1e-12)
    assert use.delta_L[-1] == 0.0


@pytest.mark.parametrize("delay", [4, 20])
def test_a_latch_on_recall_loses_ln_classes_when_the_class_is_cut_off(delay):
    """h = relu(h + onehot(class)): without the class the logits are all zero, a loss of ln 4; with it nearly none."""
    data, _ = recall(1, 50, delay)
    network = Network(NetworkSpec("relu", "multiclass", 12, 4, 4, 4), np.float64)
    network.embedding_VE[:4] = np.eye(4)
    for name in ("rnn.weight_ih_l0", "rnn.weight_hh_l0"):
        network.dense[name][:] = np.eye(4)
    network.dense["head.weight"][:] = 20.0 * np.eye(4)
    use = context_use(network, sequences_of(data), data.labels, contexts=[1, 2, delay, delay + 1, delay + 9])
    known = np.log1p(3 * np.exp(-20.0))
    np.testing.assert_allclose(use.delta_L[:3], log(4) - known, rtol=1e-12)
    assert use.delta_L[3] == use.delta_L[4] == 0.0
    assert use.loss == pytest.approx(known, rel=1e-6)
    assert (use.reach_absolute, use.reach_relative) == (delay + 1, delay + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_delay_line_needs_its_length_at_each_token(dtype):
    """The label of token t is token t - 3; the network is a shift register of four places."""
    data = make_rows([30, 12, 25])
    labels = np.full(67, -1, np.int32)
    for a, n in zip(data.starts, data.lengths, strict=True):
        labels[a + 3 : a + n] = data.ids[a : a + n - 3]
    network = Network(NetworkSpec("relu", "multiclass", V, V, 4 * V, V, pooling="each"), dtype)
    network.embedding_VE[:] = np.eye(V)
    network.dense["rnn.weight_ih_l0"][:V] = np.eye(V)
    network.dense["rnn.weight_hh_l0"][:] = np.eye(4 * V, k=-V)
    network.dense["head.weight"][:, 3 * V :] = 12.0 * np.eye(V)
    use = context_use(network, data, labels)
    assert use.n_L.tolist() == [1, 2, 3, 5, 10, 20, 30]
    known = np.log1p((V - 1) * np.exp(-12.0))
    np.testing.assert_allclose(use.delta_L[:3], log(V) - known, rtol=1e-6)
    np.testing.assert_array_equal(use.delta_L[3:], 0.0)  # in float32 too: the same inputs give the same bits
    assert use.reach_absolute == 5  # 4 is not among the measured
    assert context_use(network, data, labels, contexts=[1, 2, 3, 4]).reach_absolute == 4


def test_reach_looks_at_all_longer_contexts():
    def use(delta, unit="nats"):
        delta = np.array(delta)
        return ContextUse(np.array([1, 2, 5, 9]), delta, delta, delta, 1.0, 4, unit, "")

    assert use([2.0, 0.005, 0.5, 0.0]).reach_absolute == 9  # the dip at 2 does not count
    assert use([2.0, 0.5, 0.019, 0.0]).reach_relative == 5
    assert use([2.0, 0.5, 0.019, 0.0]).reach_absolute == 9
    assert use([2.0, 1.0, 1.0, 0.5]).reach_absolute is None  # not within what was measured
    assert use([-0.1, 0.0, 0.0, 0.0]).reach_absolute == 1
    assert use([-0.1, 0.0, 0.0, 0.0]).reach_relative is None
    assert use([2.0, 0.0, 0.0, 0.0], "squared units").reach_absolute is None


def test_regression_and_multilabel_and_json():
    data = make_rows([4, 6, 2])
    targets = rng.normals(rng.key(1, rng.Stream.CHECK), 6).reshape(3, 2).astype(np.float64)
    use = context_use(make_network("regression", classes=2), data, targets)
    assert (use.unit, use.reach_absolute) == ("squared units", None)
    marks = (targets > 0).astype(np.int32)
    found = context_use(make_network("multilabel", classes=2), data, marks).to_json()
    assert found["unit"] == "nats"
    assert found["n"] == [1, 2, 3, 5, 6]
    json.dumps(found, allow_nan=False)
