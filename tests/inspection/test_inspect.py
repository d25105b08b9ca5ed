"""The whole document: strict JSON at every level for every network, self-checks, needs, and thresholds that must bite."""

import json
from dataclasses import replace
from math import isfinite, log

import numpy as np
import pytest
from factory import CELLS, made, probe_for, texts

from rnncli.config.inspection import InspectConfig
from rnncli.config.rnn import ModelConfig, TrainingConfig
from rnncli.errors import UsageError
from rnncli.inspection.calibration import calibration
from rnncli.inspection.inspect import LEVELS_OF_DETAIL, Inspector, inspect, inspect_closely
from rnncli.inspection.jacobians import log_spaced_lags
from rnncli.inspection.rollout import roll_out
from rnncli.inspection.verdict import Evidence, decimal, findings, label
from rnncli.pipelines.inspect_gradients import run
from rnncli.pipelines.probes import Rows, last_tokens, prior_loss, synthetic_probe
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import Sequences

TRAINING = TrainingConfig(batch_size=64)  # one batch: norms of many are test_norms.py's
DEPTHS = [(1, False), (2, False), (1, True), (2, True)]


def network_of(spec, seed=2, scale=1.0):
    network = Network(spec)
    network.initialise("orthogonal", seed)
    for name in network.dense.slots:
        if "weight_hh" in name:
            network.dense[name][:] *= scale
    if "embedding" in network.tables:
        network.embedding_VE[:] *= 5
    return network


def classifier(cell="rnn", layers=1, bidirectional=False, pooling="last", n=24, length=9, hidden=6, scale=1.0, **more):
    network = network_of(
        NetworkSpec(cell, "multiclass", 9, 4, hidden, 3, 0.0, layers, bidirectional, pooling), scale=scale
    )
    data, targets = texts(n, length, 9, classes=3, spread=more.pop("spread", 4))
    return probe_for(network, data, targets, **{"training": TRAINING, **more})


def tagger(cell="lstm", layers=1, bidirectional=False):
    network = network_of(NetworkSpec(cell, "multiclass", 9, 4, 5, 3, 0.0, layers, bidirectional, "each"))
    data, targets = texts(8, 12, 9, classes=3, each=True, spread=5)
    return probe_for(network, data, targets, "tagger", training=TRAINING)


def language_model(cell="gru", tied=False, words=11):
    network = network_of(NetworkSpec(cell, "multiclass", words, 5, 5, words, 0.0, 2, False, "each", tied=tied))
    data, targets = texts(8, 30, words, classes=words, each=True)
    training = TrainingConfig(batch_size=8, bptt_steps=10)
    return probe_for(network, data, targets, "language-model", training=training, training_bptt=(10, 10))


def regressor(cell="rnn"):
    network = network_of(NetworkSpec(cell, "regression", 0, 0, 6, 2, inputs=3))
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 10, 12)
    values = rng.normal(size=(lengths.sum(), 3)).astype(np.float32)
    data = Sequences(np.cumsum(lengths) - lengths, lengths, values=values)
    return probe_for(network, data, rng.normal(size=(12, 2)), "regressor", training=TRAINING)


def strict(result):
    """The document after a way through JSON that knows neither NaN nor infinity; every number is finite."""
    text = json.dumps(result.to_json(), allow_nan=False)

    def walk(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                assert isinstance(key, str)
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
        elif isinstance(value, float):
            assert isfinite(value)

    found = json.loads(text)
    walk(found)
    return found


def at_path(found, path):
    for step in path.strip("/").split("/"):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


def examined(probe, level):
    """What must hold in every document."""
    found = strict(inspect(probe, Inspector(level)))
    spec = probe.network.spec
    assert found["schema_version"] == 1
    assert found["input"]["level"] == level
    assert len(found["layers"]) == spec.layers * (2 if spec.bidirectional else 1)
    assert {layer["direction"] for layer in found["layers"]} == {"forward", "backward"} - (
        set() if spec.bidirectional else {"backward"}
    )
    assert all(error < 1e-9 for error in found["self_checks"].values()), found["self_checks"]
    longest = int(probe.data.lengths.max())
    for layer in found["layers"]:
        assert len(layer["lag"]["lags"]) == longest
        assert layer["lag"]["count"][0] > 0
        assert ("truncation" in layer) == ("lyapunov" in layer) == (level != "quick")
        assert ("jacobian" in layer) == (level == "deep")
        for name, share in layer["lag"]["share"].items():
            if level == "quick" and spec.bidirectional and not any(share):
                assert (layer["direction"], name) == ("backward", "W_hh")  # the last token is the first it reads
                continue
            assert sum(share) == pytest.approx(1.0, abs=1e-9), name
    for finding in found["verdict"]["findings"]:
        for path in finding["evidence"]:
            at_path(found, path)  # stands in the document
        assert "cannot learn" not in finding["text"]
    if level == "quick":
        assert "lag_sum_error" not in found["self_checks"]
    else:
        assert found["self_checks"]["lag_sum_error"] < 1e-12
        assert found["self_checks"]["share_sum_error"] < 1e-12
    return found


@pytest.mark.parametrize("level", LEVELS_OF_DETAIL)
@pytest.mark.parametrize(("layers", "bidirectional"), DEPTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_depth_and_direction(cell, layers, bidirectional, level):
    examined(classifier(cell, layers, bidirectional), level)


@pytest.mark.parametrize("level", LEVELS_OF_DETAIL)
@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_every_pooling(cell, pooling, level):
    examined(classifier(cell, 2, True, pooling), level)


@pytest.mark.parametrize("level", LEVELS_OF_DETAIL)
@pytest.mark.parametrize("cell", CELLS)
def test_taggers_and_regressors(cell, level):
    found = examined(tagger(cell, 2, True), level)
    assert found["input"]["loss_terms"] > 8 * 7
    found = examined(regressor(cell), level)
    assert found["input"]["accuracy"] is None
    assert found["data"]["mi_nats_by_lag"] is None


@pytest.mark.parametrize("level", LEVELS_OF_DETAIL)
@pytest.mark.parametrize(("tied", "words"), [(False, 11), (True, 11), (False, 2100), (True, 2100)])
def test_language_models(tied, words, level):
    found = examined(language_model("lstm", tied, words), level)
    assert found["architecture"]["bptt_steps"] == 10
    assert (found["input"]["accuracy"] is None) == (tied or words > 2048)


@pytest.mark.parametrize("level", LEVELS_OF_DETAIL)
@pytest.mark.parametrize("head", ["binary", "multilabel"])
def test_other_heads(head, level):
    network = network_of(NetworkSpec("gru", head, 9, 4, 5, 2))
    data, targets = texts(16, 8, 9, spread=3)
    if head == "multilabel":
        targets = np.stack([targets, 1 - targets], axis=1).astype(np.float32)
    examined(probe_for(network, data, targets, training=TRAINING), level)


def test_rows_of_one_token_and_rows_without_any():
    network = network_of(NetworkSpec("lstm", "multiclass", 9, 4, 5, 3))
    data = Sequences.of_texts(np.array([1, 2, 3], np.int32), np.array([0, 1, 1, 2, 3]))
    found = strict(
        inspect(probe_for(network, data, np.array([0, 1, 2, 0], np.int32), training=TRAINING), Inspector("deep"))
    )
    assert found["input"]["sequences"] == 3
    assert found["input"]["longest"] == 1
    assert found["verdict"]["label"] == "not-measurable"


def test_dead_gradients_are_strict_json_too():
    probe = classifier("relu")
    probe.network.dense["rnn.bias_l0"][:] = -100.0
    for level in LEVELS_OF_DETAIL:
        found = strict(inspect(probe, Inspector(level)))
        assert found["layers"][0]["saturation"]["relu_dead_units"] == 6


def test_the_verdict_and_its_numbers_agree_with_the_layers():
    found = strict(inspect(classifier(n=60, spread=0, need=5), Inspector()))
    layer = found["layers"][0]
    assert found["verdict"]["ratio_at_need_log10"] == pytest.approx(layer["lag"]["ratio_log10"]["p50"][5])
    verdict = found["verdict"]
    assert verdict["input_share_at_need_log10"] == pytest.approx(layer["lag"]["input_share_log10"]["p50"][5])
    low, high = verdict["input_share_at_need_log10_ci95"]
    assert low <= verdict["input_share_at_need_log10"] <= high
    gain = layer["gain_nats_per_step"]
    assert gain["total"] == pytest.approx(gain["squash"] + gain["weights"], abs=1e-12)
    assert gain["ci95"][0] <= gain["total"] <= gain["ci95"][1]
    assert layer["lag"]["count"][:9] == [60] * 9


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("probe", [tagger("gru_before", 2, True), classifier("lstm", 2, True, "mean", n=70)])
def test_the_same_document_with_any_number_of_threads(probe, threads):
    one, more = (strict(inspect(probe, Inspector("deep", threads=n))) for n in (1, threads))
    assert json.dumps(one) == json.dumps(more)


def test_noise_is_measured_from_sixty_four_sequences_on():
    found = strict(inspect(classifier(n=70), Inspector("deep")))
    noise = found["layers"][0]["lag"]["noise"]
    assert noise["sequences"] == 70
    assert len(noise["noise_log10"]) == len(noise["lags"])
    assert all(value is not None for value in noise["noise_log10"][:2])
    assert "noise" not in strict(inspect(classifier(n=20), Inspector("deep")))["layers"][0]["lag"]


def test_who_says_how_far_back_the_task_reaches():
    def need(probe, level="standard"):
        found = inspect(probe, Inspector(level)).verdict
        return found["need_lag_steps"], found["need_source"]

    assert need(classifier(spread=0)) == (8, "length_p90")
    assert need(classifier(need=3)) == (3, "user")
    assert need(classifier(need=3, need_source="recall task")) == (3, "recall task")
    # two read-outs, at both ends: one of them is never farther than half the way
    assert need(classifier(spread=0, bidirectional=True)) == (4, "half of the length_p90")
    assert need(classifier(spread=0, bidirectional=True, need=8)) == (8, "user")
    assert need(tagger())[1] == "half of the median length"
    # every state is read: no token is far from the read-out
    assert need(classifier(pooling="mean"), "quick")[1] == "half of the median length"
    assert need(classifier(n=80, spread=9), "quick")[1] == "length that 30 sequences have"
    assert need(language_model(), "quick") == (14, "half of the median length")
    network = network_of(NetworkSpec("rnn", "multiclass", 4, 4, 5, 4, 0.0, 1, False, "each"))
    running = np.tile(np.arange(4), 500).astype(np.int32)  # what comes next is certain: the data do ask
    data = Sequences.of_texts(running[:-7], np.append(np.arange(0, 1993, 64), 1993).astype(np.int64))
    steps, source = need(probe_for(network, data, running[1:-6], "language-model"))
    assert source == "mutual_information"
    assert steps >= 1


def test_norms_are_of_two_hundred_batches():
    found = examined(classifier(training=TrainingConfig(batch_size=8)), "standard")
    assert found["norms"]["steps"] == 200
    assert found["norms"]["clip"]["suggested"] is not None
    assert found["update_ratio"]["rnn.weight_hh_l0"] > 0
    assert examined(classifier(training=None), "standard")["norms"] is None


def test_max_lag_stops_the_walk():
    found = strict(inspect(classifier(n=40, spread=0), Inspector(max_lag=3)))
    assert found["layers"][0]["lag"]["count"][:5] == [40, 40, 40, 40, 0]


def test_as_trained_needs_a_window():
    with pytest.raises(UsageError):
        run(None, None, InspectConfig(probe="recall", length=4, sequences=4, as_trained=True))


@pytest.mark.parametrize("task", ["recall", "adding", "copy"])
def test_synthetic_probes(task):
    model = ModelConfig(cell="gru", hidden_size=6)
    found = strict(run(None, None, InspectConfig(probe=task, length=12, sequences=40, model=model), threads=1).result)
    need = {"recall": 12, "adding": 6, "copy": 22}[task]
    assert found["verdict"]["need_lag_steps"] == need
    assert found["verdict"]["need_source"] == f"{task} task"
    assert found["input"]["stage"] == "first values"
    assert found["context_use"] is None  # nothing has been learned that could use it


@pytest.mark.parametrize(("scale", "wanted"), [(1.0, "reaches"), (0.05, "vanishing"), (6.0, "exploding")])
@pytest.mark.parametrize("cell", ["relu", "rnn"])
def test_the_verdict_follows_the_weights(cell, scale, wanted):
    """Small inputs: tanh stays nearly linear at first, and a ReLU's halves are alike."""
    probe = classifier(cell, n=60, length=10, spread=0, hidden=24, scale=scale)
    probe.network.embedding_VE[:] *= 0.02
    found = inspect(probe, Inspector()).verdict
    assert found["need_lag_steps"] == 9
    if (cell, wanted) == ("rnn", "reaches"):
        assert found["label"] in ("balanced", "reaches")
        assert found["severity"] <= 1
    elif wanted == "vanishing":
        assert found["label"] == "vanishing"
        assert found["severity"] == 3  # below what float32 can add
    elif (cell, wanted) == ("relu", "exploding"):  # tanh saturates where weights are large: no promise either way
        assert found["label"] == "exploding"


def test_everything_that_was_measured_is_kept():
    seen = inspect_closely(classifier("lstm", 2), Inspector())
    assert len(seen.found) == 2
    assert seen.evidence.gated
    assert seen.result.verdict["need_lag_steps"] == seen.evidence.need


def evidence(**changes):
    base = {
        "need": 20, "pairs_at_need": 100, "log_ratio_at_need": log(0.5), "interval": [log(0.4), log(0.6)],
        "half_life": 20.0, "peak": 0.0, "peak_lag": 0, "far_share": 0.4, "squash": -0.02, "weights": -0.01, "gated": False,
        "rho": 0.9, "henrici": 0.1,
    }  # fmt: skip
    return Evidence(**{**base, **changes})


def said(**changes):
    return findings(evidence(**changes), calibration().thresholds)


def by_id(**changes):
    return {f.id: f for f in said(**changes)}


def test_classes_of_the_ratio():
    for ratio, word, severity in (
        (0.2, "reaches", 0),
        (0.05, "weak", 1),
        (1e-3, "vanishing", 2),
        (1e-9, "vanishing", 3),
    ):
        found = by_id(log_ratio_at_need=log(ratio), interval=None)["V2"]
        assert (found.label, found.severity) == (word, severity)


def test_a_solved_task_is_not_called_sick():
    found = by_id(log_ratio_at_need=log(1e-9), solved=True)["V2"]
    assert found.severity == 1
    assert "no defect" in found.text
    assert by_id(log_ratio_at_need=log(1e-9), context=25)["V2"].severity == 1


def test_few_sequences_measure_nothing():
    assert by_id(pairs_at_need=29)["V0"].label == label(said(pairs_at_need=29)) == "not-measurable"


def test_spectral_radius_and_saturation_alone_never_make_a_verdict():
    """O28: radius 2.5 and strong squashing that cancel are balanced, neither exploding nor saturated."""
    found = by_id(rho=2.53, squash=-0.70, weights=0.65, half_life=None)
    assert found["V5"].label == "balanced"
    assert not {"V6", "V7"} & found.keys()
    assert label(list(found.values())) == "balanced"


def test_a_positive_exponent_counts_over_the_needed_lag():
    assert label(said(lambda_1=0.2, lambda_interval=(0.18, 0.22))) == "exploding"
    assert label(said(lambda_1=0.02, lambda_interval=(0.018, 0.022))) == "balanced"
    assert label(said(lambda_1=0.2, lambda_interval=(-0.1, 0.4))) == "balanced"


def test_other_words_of_the_verdict():
    assert label(said(bptt_steps=20)) == "cut"
    assert label(said(bptt_steps=25, coverage=0.2)) == "cut"
    assert label(said(peak=log(11.0))) == "exploding"
    assert label(said(nonfinite=1)) == "exploding"
    assert by_id(peak=log(3.0), henrici=0.5)["V8"].severity == 1
    assert "V10" in by_id(clip_type="norm", clip_fraction=0.6)
    assert "V9" in by_id(participation=1.5)
    assert by_id(bptt_steps=25, coverage=0.9, bias_at_bptt=0.6)["V4"].severity == 2
    assert "V11" in by_id(context=4)


def test_the_cause_is_the_larger_negative_part():
    assert "weights shrink" in by_id(squash=-0.01, weights=-0.51)["V5"].text
    assert "saturated units" in by_id(squash=-0.51, weights=-0.01)["V6"].text
    assert "gates" in by_id(squash=-0.51, weights=-0.01, gated=True)["V5"].text


def test_never_says_cannot_learn():
    for ratio in (1e-12, 1e-3):
        for finding in said(log_ratio_at_need=log(ratio), weights=-1.0):
            assert "cannot" not in finding.text


def test_decimal_of_numbers_no_float_can_hold():
    assert decimal(-412 * log(10)) in ("1.0e-412", "10.0e-413")
    assert decimal(float("-inf")) == "0"
    assert decimal(log(0.25)) == "0.25"


def test_long_sequences_keep_their_last_tokens():
    rows = Rows(Sequences.of_texts(np.arange(10, dtype=np.int32), np.array([0, 7, 10])), np.array([5, 6]))
    kept, targets = last_tokens(rows, np.array([4, 3]), np.array([0, 1]), False)
    assert list(kept.ids) == [3, 4, 5, 6, 7, 8, 9]
    assert list(kept.starts) == [0, 4]
    assert list(targets) == [5, 6]
    _, targets = last_tokens(Rows(rows.data, np.arange(10)), np.array([2, 1]), np.array([0, 1]), True)
    assert list(targets) == [5, 6, 9]


def test_the_loss_of_knowing_nothing():
    spec = NetworkSpec("rnn", "multiclass", 5, 3, 4, 4)
    assert prior_loss(spec, np.array([0, 1, 2, 3])) == pytest.approx(log(4))
    assert prior_loss(spec, np.zeros(4, int)) is None
    assert prior_loss(replace(spec, head="regression"), np.array([[0.0], [2.0]])) == pytest.approx(1.0)
    assert synthetic_probe(InspectConfig(probe="recall", length=5, sequences=4)).prior_loss == pytest.approx(log(4))


def test_the_rollout_is_the_forward_pass():
    network, data, targets = made("lstm", 2, True, "mean")
    rollout = roll_out(network, data, targets)
    assert rollout.loss_M.shape == (data.n,)
    assert log_spaced_lags(int(rollout.lengths.max())) == [0, 1, 2, 3, 5, 9]
