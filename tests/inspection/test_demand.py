"""What the data ask for: Markov chains of known information, planted copies, and data that ask for nothing."""

import json
from math import log

import numpy as np
import pytest

import rnncli.inspection.demand as demand
from rnncli import rng
from rnncli.data.probes import recall
from rnncli.inspection.demand import (
    classes_of,
    label_demand,
    length_report,
    mutual_information,
    running_demand,
    sequence_demand,
)
from rnncli.rnn.classification import sequences_of
from rnncli.rnn.packing import Sequences


def uniforms(n, part=0):
    return rng.uniforms(rng.key(8, rng.Stream.CHECK, part=part), n)


def markov(p_SS, n, part=0):
    """A chain of n states, begun at state 0."""
    below, state, found = np.cumsum(p_SS, axis=1), 0, np.empty(n, np.int32)
    for i, u in enumerate(uniforms(n, part)):
        state = min(int(np.searchsorted(below[state], u, side="right")), len(p_SS) - 1)
        found[i] = state
    return found


def exact_information(p_SS, lag):
    """I = sum_ij pi_i (P^lag)_ij ln((P^lag)_ij / pi_j), nats."""
    pi = np.linalg.matrix_power(p_SS, 1000)[0]
    power = np.linalg.matrix_power(p_SS, lag)
    return float((pi[:, None] * power * np.log(power / pi)).sum())


def naive_information(x, y):
    total = 0.0
    for a in set(x):
        for b in set(y):
            p = np.mean([u == a and v == b for u, v in zip(x, y, strict=True)])
            if p > 0:
                total += p * log(p / (np.mean([u == a for u in x]) * np.mean([v == b for v in y])))
    return total


def test_the_plug_in_estimate_is_the_double_sum():
    x, y = np.floor(uniforms(60, 1) * 4).astype(np.int64), np.floor(uniforms(60, 2) * 3).astype(np.int64)
    assert mutual_information(x, y) == pytest.approx(naive_information(x.tolist(), y.tolist()), abs=1e-12)
    assert mutual_information(x, x) == pytest.approx(naive_information(x.tolist(), x.tolist()), abs=1e-12)
    assert mutual_information(x, np.zeros(60, np.int64)) == 0.0


def test_classes_are_the_most_frequent_ids_and_one_for_the_rest():
    assert classes_of(np.array([9, 4, 4, 7, 7, 7, 1]), kept=3).tolist() == [2, 1, 1, 0, 0, 0, 2]
    assert classes_of(np.array([5, 3, 5, 3]), kept=2).tolist() == [1, 0, 1, 0]  # ties by id, and no need of a rest
    many = classes_of(np.repeat(np.arange(1000), np.arange(1000) + 1))
    assert int(many.max()) == 255
    assert int((many == 255).sum()) == sum(range(1, 746))


@pytest.mark.parametrize(
    "p", [[[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]]], ids=["two", "three"]
)
def test_a_markov_chain_has_the_information_of_its_matrix(p):
    p_SS, n = np.array(p), 60_000
    found = running_demand(markov(p_SS, n), 100)
    for lag in (1, 2, 3, 5, 10):
        at = found.lags_L.tolist().index(lag)
        exact = exact_information(p_SS, lag)
        # the estimate moves by about 2 sqrt(2 I / n), more where neighbours are alike; chance itself by about df / n
        assert found.value_L[at] == pytest.approx(exact, abs=6 * np.sqrt(2 * exact / n) + 10 / n)
    bound = max(lag for lag in range(1, 100) if exact_information(p_SS, lag) > 1e-5)
    assert 5 <= found.needed_lag <= bound  # memory fades exponentially, and beyond the bound there is nothing to see


def test_a_strongly_dependent_chain_has_no_demand_beyond_its_memory():
    """Neighbours alike make chance tables lumpier than a full shuffle would: rotated surrogates know that."""
    p_SS = np.array([[0.9, 0.1], [0.1, 0.9]])
    lags = [100, 150, 200, 300, 500]
    alarms = [running_demand(markov(p_SS, 3000, part), 500, lags=lags).needed_lag is not None for part in range(20)]
    assert sum(alarms) <= 2


def test_text_without_order_asks_for_nothing():
    alarms = 0
    for part in range(12):
        ids = np.floor(40 * uniforms(4000, part) ** 2).astype(np.int32)
        found = running_demand(ids, 300, seed=part)
        alarms += found.needed_lag is not None
        assert np.abs(found.value_L).max() < 0.1 * found.surrogate_mean_L.max()  # what is left of the bias
    assert alarms <= 1


@pytest.mark.parametrize("lag", [7, 30])
def test_a_planted_copy_is_found_where_it_is(lag):
    drawn = np.floor(50 * uniforms(6000)).astype(np.int32)
    ids = np.where(uniforms(6000, 1) < 0.3, np.roll(drawn, lag), drawn)  # no copies of copies, which reach twice as far
    found = running_demand(ids, 25 if lag == 7 else 50)
    assert int(found.lags_L[found.value_L.argmax()]) == lag
    assert found.needed_lag == lag


def test_rows_are_not_read_across_their_ends():
    """Each row is one symbol repeated; the next row another one."""
    symbols = np.floor(8 * uniforms(400)).astype(np.int32)
    lengths = 2 + np.floor(6 * uniforms(400, 1)).astype(np.int64)
    ids = np.repeat(symbols, lengths)
    found = sequence_demand(Sequences.of_texts(ids, np.append(0, np.cumsum(lengths))))
    assert found.lags_L.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(found.pairs_L, [np.maximum(lengths - lag, 0).sum() for lag in found.lags_L])
    for at, lag in enumerate(found.lags_L):
        inside = np.repeat(symbols, np.maximum(lengths - lag, 0))
        exact = mutual_information(inside.astype(np.int64), inside.astype(np.int64))
        assert found.value_L[at] + found.surrogate_mean_L[at] == pytest.approx(exact, abs=1e-12)
    assert found.needed_lag == 6


def test_the_label_of_a_token_is_looked_for_before_it():
    ids = np.floor(6 * uniforms(3000)).astype(np.int32)
    labels = np.roll(ids, 2)
    labels[uniforms(3000, 1) < 0.5] = -1
    labels[np.arange(3000) % 30 < 2] = -1  # would look beyond the row's beginning
    data = Sequences(np.arange(100) * 30, np.full(100, 30), ids)
    found = sequence_demand(data, 12, labels=labels)
    assert found.lags_L[0] == 0
    assert found.needed_lag == 2
    assert found.value_L[2] == pytest.approx(log(6), rel=0.05)


@pytest.mark.parametrize("delay", [4, 37])
def test_recall_asks_for_the_token_at_the_beginning(delay):
    data, _ = recall(1, 600, delay)
    found = label_demand(sequences_of(data), data.labels)
    assert found.needed_lag == delay
    assert found.value_L[-1] == pytest.approx(log(4), rel=0.02)
    assert np.abs(found.value_L[:-1]).max() < 0.05
    sorted_rows = np.argsort(data.labels, kind="stable")  # the order of the rows does not matter
    rows = sequences_of(data)
    by_label = Sequences(rows.starts[sorted_rows], rows.lengths[sorted_rows], rows.ids)
    again = label_demand(by_label, data.labels[sorted_rows])
    assert again.needed_lag == delay
    np.testing.assert_allclose(again.value_L, found.value_L, atol=0.01)


def test_sets_of_labels_are_classes():
    data, _ = recall(2, 500, 3)
    sets = np.stack([data.labels & 1, data.labels >> 1], axis=1)
    one, both = label_demand(sequences_of(data), data.labels), label_demand(sequences_of(data), sets)
    np.testing.assert_allclose(one.value_L, both.value_L, atol=0.02)
    assert both.needed_lag == 3


def test_at_most_so_many_pairs_are_measured(monkeypatch):
    monkeypatch.setattr(demand, "PAIRS", 500)
    ids = markov(np.array([[0.95, 0.05], [0.05, 0.95]]), 20_000)
    found = running_demand(ids, 3)
    assert found.pairs_L.tolist() == [500, 500, 500]
    x = ids[np.arange(500) * 19_999 // 500]
    y = ids[np.arange(500) * 19_999 // 500 + 1]
    exact = naive_information(x.tolist(), y.tolist())
    assert found.value_L[0] + found.surrogate_mean_L[0] == pytest.approx(exact, abs=1e-12)


def test_little_data_and_equal_tokens_say_nothing():
    for ids in (np.zeros(0, np.int32), np.zeros(1, np.int32), np.arange(20, dtype=np.int32), np.zeros(500, np.int32)):
        found = running_demand(ids, 50)
        assert found.needed_lag is None
        json.dumps(found.to_json(), allow_nan=False)
    once = rng.permutation(rng.key(8, rng.Stream.CHECK), 400).astype(np.int32)  # every token once
    assert running_demand(once, 50).needed_lag is None


def test_the_same_seed_gives_the_same_numbers():
    ids = np.floor(30 * uniforms(2000)).astype(np.int32)
    one, two, other = (running_demand(ids, 20, seed=seed).to_json() for seed in (1, 1, 2))
    assert one == two
    assert one != other


def test_lengths():
    found = length_report(np.array([3, 3, 4, 7, 50]))
    assert (found["p50"], found["p90"], found["max"]) == (4, 50, 50)
    edges, count = found["histogram"]["edges"], found["histogram"]["count"]
    assert (edges[0], edges[-1], sum(count), len(edges)) == (3, 51, 5, len(count) + 1)
    assert length_report(np.array([2, 2, 3]))["histogram"] == {"edges": [2, 3, 4], "count": [2, 1]}
    assert length_report(np.array([5, 5]))["histogram"] == {"edges": [5, 6], "count": [2]}
    assert length_report(np.array([], np.int64))["max"] is None
