"""The planted dependency: what is drawn, who learns it, and the loop against one written out."""

import math

import numpy as np
import pytest

from rnncli.config.load import load_config
from rnncli.config.rnn import ClassifierConfig, TrainingConfig
from rnncli.events import ignore
from rnncli.kernels._jit import set_threads
from rnncli.pipelines import planted, prove, train_classifier
from rnncli.pipelines.planted import Goal, updates_to_learn
from rnncli.pipelines.recipes import RECIPES
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.packing import pack

COUNTS = np.array([5, 0, 1, 14])
IDENTITY = ("model.cell=relu", "model.init=identity")


def recipe(task, *overrides):
    return load_config(ClassifierConfig, task / "recipe.yaml", overrides).config


def learn(task, lag, *overrides, budget=300):
    config = recipe(task, *overrides)
    return planted.learn(train_classifier.prepare_run(config, ignore), config, lag, budget)


def small(cell="rnn", **more):
    network = Network(NetworkSpec(cell, "multiclass", COUNTS.size + 4, 6, 8, 4, **more))
    network.initialise("orthogonal", 1)
    return network, Optimiser(TrainingConfig(lr=0.01), network, True)


def test_lags_and_budget_depend_on_the_recipe_alone():
    assert planted.planted_lags(100) == [25, 50, 100]
    assert planted.planted_lags(3) == [1, 3]
    assert planted.planted_lags(1) == [1]
    assert planted.budget_of(32, 100) == 300
    assert planted.budget_of(64, 229) == 3_000_000 // (64 * 230)
    assert planted.budget_of(512, 1000) == 100


def test_tokens_come_as_often_as_counted_and_the_class_lies_at_the_lag():
    data, classes = planted.draw_tokens(3, 9, 1, 4000, COUNTS)
    ids = data.ids.reshape(4000, 10)
    np.testing.assert_array_equal(ids[:, 0], COUNTS.size + classes)
    shares = np.bincount(ids[:, 1:].reshape(-1), minlength=COUNTS.size) / ids[:, 1:].size
    np.testing.assert_allclose(shares, COUNTS / COUNTS.sum(), atol=4 * 0.5 / math.sqrt(36000))
    assert shares[1] == 0
    np.testing.assert_allclose(np.bincount(classes) / 4000, 0.25, atol=0.03)
    assert not np.array_equal(planted.draw_tokens(3, 9, 2, 4000, COUNTS)[0].ids, data.ids)


def test_numbers_are_noise_but_for_the_class():
    data, classes = planted.draw_numbers(3, 9, 1, 2000, 2)
    values = data.values.reshape(2000, 10, 2)
    np.testing.assert_array_equal(values[:, 0, 0], planted.LEVELS[classes])
    rest = np.concatenate([values[:, 1:, 0].reshape(-1), values[:, :, 1].reshape(-1)])
    assert abs(rest.mean()) < 0.02
    assert abs(rest.std() - 1) < 0.02
    assert set(classes) == {0, 1, 2, 3}


@pytest.mark.parametrize("overrides", [IDENTITY, ("model.cell=lstm", "model.chrono=40")])
def test_a_gradient_that_arrives_is_learned_from(task, overrides):
    assert 20 <= learn(task, 40, *overrides) <= 300


def test_a_gradient_that_vanishes_is_not(task):
    vanishing = ("model.init=uniform", "model.hidden_size=64")
    assert learn(task, 1, *vanishing) is not None
    assert learn(task, 60, *vanishing) is None


def test_the_same_at_any_thread_count(task):
    try:
        found = []
        for threads in (1, 2, 1):
            set_threads(threads)
            found.append(learn(task, 12, "model.cell=lstm"))
    finally:
        set_threads(0)
    assert found[0] is not None
    assert len(set(found)) == 1


def test_arms_of_a_seed_read_the_same_rows(task, monkeypatch):
    seen, draw = [], planted.draw_tokens

    def watched(*arguments):
        drawn = draw(*arguments)
        seen[-1].append(drawn[0].ids.copy())
        return drawn

    monkeypatch.setattr(planted, "draw_tokens", watched)
    for overrides in (IDENTITY, ("model.cell=gru",), ("seed=2",)):
        seen.append([])
        learn(task, 5, *overrides, budget=6)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_the_network_is_the_recipes_and_stays_as_it_was(task):
    config = recipe(task, "model.bidirectional=true", "model.pooling=mean", "model.layers=2", "data.features=[suffix2]")
    ready = train_classifier.prepare_run(config, ignore)
    own = ready.network
    own.embedding_VE[:] *= 7  # as if pretrained
    before = [own.dense.flat.copy(), own.embedding_VE.copy()]
    network = planted.planted_network(own, config)
    spec = network.spec
    assert (spec.hidden_size, spec.layers, spec.embedding_dim) == (20, 2, 12)
    assert (spec.bidirectional, spec.pooling, spec.dropout, spec.features, spec.classes) == (False, "last", 0.0, 0, 4)
    np.testing.assert_array_equal(network.embedding_VE[:-4], own.embedding_VE)
    sizes = [float(np.sqrt(np.mean(part**2))) for part in (network.embedding_VE[-4:], own.embedding_VE)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.4)
    planted.learn(ready, config, 2, 5)
    np.testing.assert_array_equal(own.dense.flat, before[0])
    np.testing.assert_array_equal(own.embedding_VE, before[1])


def test_the_loop_is_the_one_written_out():
    def draw(update):
        return planted.draw_tokens(1, 3, update, 16, COUNTS)

    network, optimiser = small("lstm")
    found = updates_to_learn(network, optimiser, planted.reader(network, draw, None), 300, Goal(0.25, 0.9))
    twin, rule = small("lstm")
    running = 0.25
    for update in range(1, 301):
        data, classes = draw(update)
        batch = pack(data, np.arange(16))
        probabilities = twin.forward(batch).logits_MC.argmax(axis=1)
        running = 0.9 * running + (1.0 - 0.9) * np.mean(
            [probabilities[i] == classes[batch.rows_B[i]] for i in range(16)]
        )
        rule.step(twin, twin.gradients(batch, classes[batch.rows_B]))
        if running > 0.9:
            break
    assert found == update < 300
    np.testing.assert_array_equal(network.dense.flat, twin.dense.flat)
    np.testing.assert_array_equal(network.embedding_VE, twin.embedding_VE)


def test_a_running_mean_needs_its_time_and_a_runaway_ends_the_run():
    network, optimiser = small()
    data, classes = planted.draw_tokens(1, 3, 1, 16, COUNTS)
    batch = pack(data, np.arange(16))
    gradients = network.gradients(batch, classes[batch.rows_B])
    assert updates_to_learn(network, optimiser, lambda _: (gradients, 1.0), 300, Goal(0.25, 0.9)) == 20
    assert updates_to_learn(network, optimiser, lambda _: (gradients, 1.0), 19, Goal(0.25, 0.9)) is None
    gradients.dense_P[0] = np.nan
    assert updates_to_learn(network, optimiser, lambda _: (gradients, 1.0), 300, Goal(0.25, 0.9)) is None


def test_gradients_go_back_as_far_as_the_recipe_lets_them():
    network, _ = small()

    def read(steps):
        return planted.reader(network, lambda update: planted.draw_tokens(1, 5, update, 16, COUNTS), steps)(1)

    (full, right), (cut, same), (long, _) = read(None), read(5), read(6)
    assert right == same
    np.testing.assert_array_equal(full.dense_P, long.dense_P)
    assert full.sparse["embedding"].rows_U.max() >= COUNTS.size  # the class tokens
    assert cut.sparse["embedding"].rows_U.max() < COUNTS.size
    np.testing.assert_allclose(np.sort(full.loss_M), np.sort(cut.loss_M), rtol=1e-5)


def test_the_summary_counts_seeds():
    runs = {
        "base": {5: [30, None, 40], 10: [None, None, 90]},
        "good": {5: [25, 26, 28], 10: [60, 50, None]},
        "even": {5: [25, None], 10: [25, 27]},
    }
    found = planted.summary(runs, 300, {"good": -1.0, "base": -2.0, "even": -3.0})
    assert (found["classes"], found["budget_updates"], found["accuracy"], found["lags"]) == (4, 300, 0.9, [5, 10])
    base, good, even = found["arms"]
    assert base["lags"] == [
        {"lag": 5, "learned": 2, "seeds": 3, "median_updates": 40.0},
        {"lag": 10, "learned": 1, "seeds": 3, "median_updates": None},
    ]
    assert [arm["learned_reach_steps"] for arm in (base, good, even)] == [5, 10, 10]
    assert even["lags"][0]["median_updates"] is None  # half is not most
    assert found["order_held"] is False
    held = {"good": -1.0, "base": None, "even": -1.0}
    assert planted.summary(runs, 300, held)["order_held"] is True
    alike = {"a": {5: [None, None]}, "b": {5: [None, None]}}
    assert planted.summary(alike, 300, {"a": -1.0, "b": -2.0})["order_held"] is None
    assert planted.summary(runs, 300, dict.fromkeys(runs))["order_held"] is None  # nothing was promised


def test_a_race_holds_it_and_predicts_the_order(task):
    config = recipe(task, "training.epochs=1", "model.init=uniform")
    good = prove.Arm("irnn", {"model.cell": "relu", "model.init": "identity"}, -0.1, predicted_share_log10=-1.0)
    base = prove.Arm("as it is", {}, -9.0, predicted_share_log10=-18.0)
    arms = [base, good, prove.Arm("gru", {"model.cell": "gru"}, None)]
    proof = prove.race(RECIPES["classifier"], config, arms, 8, 2)
    assert proof["prediction"]["order"] == ["irnn", "as it is", "gru"]
    assert proof["prediction"]["text"].endswith("farthest back by irnn 10^-1.0, then as it is 10^-18.0, then gru 0")
    found = proof["planted"]
    assert found["lags"] == [2, 4, 8]
    assert [arm["name"] for arm in found["arms"]] == ["as it is", "irnn", "gru"]
    assert [row["learned"] for row in found["arms"][1]["lags"]] == [2, 2, 2]
    assert all(
        set(row) == {"lag", "learned", "seeds", "median_updates"} for arm in found["arms"] for row in arm["lags"]
    )
    assert good.planted[4] == [learn(task, 4, *IDENTITY, f"seed={seed}") for seed in (1, 2)]
