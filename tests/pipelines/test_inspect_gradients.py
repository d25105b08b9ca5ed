"""From a recipe, a run or a synthetic task to a document: what is probed, the film, what-if and the race."""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rnncli.artifacts.bundle import load_model, save_model
from rnncli.artifacts.run_directory import FILM_NAME, RunDirectory
from rnncli.config.inspection import InspectConfig
from rnncli.config.load import load_config
from rnncli.config.rnn import ClassifierConfig
from rnncli.config.sequences import TaggerConfig
from rnncli.errors import ArtifactError, CorpusError, UsageError
from rnncli.pipelines import evaluate, film, inspect_gradients, train_classifier, train_tagger, training_run
from rnncli.pipelines.inspect_gradients import Extras
from rnncli.pipelines.prove import Arm, changed, compare, interval, predict

ROOT = Path(__file__).parents[2]


def recipe(task, *overrides):
    return load_config(ClassifierConfig, task / "recipe.yaml", overrides).config


@pytest.fixture(scope="module")
def run(task, tmp_path_factory):
    """A trained run that was filmed."""
    folder = tmp_path_factory.mktemp("filmed") / "run"
    config = recipe(task, "training.epochs=2")
    train_classifier.run(config, folder, film=film.filming(config, 3))
    return folder


def document(*arguments, **config):
    return inspect_gradients.run(*arguments, InspectConfig(**config)).result.to_json()


@pytest.mark.parametrize("name", ["tagged", "characters", "forecast", "adding"])
def test_a_recipe_is_inspected_at_its_first_values(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    report = document(Path(f"configs/{name}.yaml"), None, sequences=4, max_length=20)
    assert report["input"]["stage"] == "first values"
    assert report["context_use"] is None  # nothing was learned that could be used
    assert report["self_checks"]["lag_sum_error"] < 1e-12
    assert report["architecture"]["task"] == {"tagged": "tagger", "characters": "language-model"}.get(name, "regressor")
    json.dumps(report, allow_nan=False)


def test_a_run_says_what_it_is_and_on_what_it_was_probed(run, task):
    report = document(run, None)
    again = document(run, task / "valid.tsv" if (task / "valid.tsv").exists() else Path(report["input"]["file"]))
    assert report["input"]["stage"] == "trained"
    assert report["input"]["sha256"] == again["input"]["sha256"]
    assert report["input"]["model_sha256"] == hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    assert report["verdict"] == again["verdict"]
    assert report["context_use"]["n"][-1] == report["input"]["longest"]


@pytest.mark.parametrize(("probe", "need"), [("recall", 12), ("adding", 6), ("copy", 22)])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_synthetic_tasks_know_what_they_need(probe, need, cell):
    report = document(None, None, probe=probe, length=12, sequences=40, model={"cell": cell, "hidden_size": 8})
    assert report["verdict"]["need_lag_steps"] == need
    assert report["verdict"]["need_source"] == f"{probe} task"
    assert report["architecture"]["cell"] == cell


def test_need_and_lags_can_be_set(run):
    report = document(run, None, need=3, max_lag=4)
    assert (report["verdict"]["need_lag_steps"], report["verdict"]["need_source"]) == (3, "user")
    assert not any(report["layers"][0]["lag"]["count"][5:])


def test_refusals_say_why(run, task):
    for arguments, config, extras in [
        ((None, None), {}, Extras()),
        ((run, None), {"probe": "recall"}, Extras()),
        ((None, None), {"probe": "recall"}, Extras(prove=True)),
        ((run, None), {"as_trained": True}, Extras()),
        ((run, None), {}, Extras(prove=True, arms=("nonsense",))),
        ((run, None), {}, Extras(prove=True, seeds=1)),
    ]:
        with pytest.raises(UsageError):
            inspect_gradients.run(*arguments, InspectConfig(**config), extras=extras)
    (task / "other.yaml").write_text("nothing: 1\n")
    with pytest.raises((UsageError, ArtifactError)):
        inspect_gradients.run(task / "other.yaml", None, InspectConfig())


def test_filming_changes_no_byte_and_shows_in_the_document(run, task, tmp_path):
    plain = train_classifier.run(recipe(task, "training.epochs=2"), tmp_path / "plain")
    assert hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest() == plain.model_sha256
    rows = document(run, None, level="quick")["trajectory"]
    steps = [row["step"] for row in rows]
    assert steps[0] == 0
    assert all(step % 3 == 0 for step in steps)
    assert len(steps) == 1 + max(steps) // 3
    assert all(math.isfinite(row["loss"]) for row in rows)


def test_a_resumed_run_films_as_if_it_had_never_stopped(run, task, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    config = recipe(task, "training.epochs=2")

    class KilledError(Exception):
        pass

    kept = RunDirectory.append_history

    def stop(self, obj, name="history.jsonl"):
        kept(self, obj, name)
        if name == FILM_NAME and obj["epoch"] == 2:
            raise KilledError

    monkeypatch.setattr(RunDirectory, "append_history", stop)
    with pytest.raises(KilledError):
        train_classifier.run(config, tmp_path / "cut", film=film.filming(config, 3))
    monkeypatch.setattr(RunDirectory, "append_history", kept)
    train_classifier.run(config, tmp_path / "cut", resume=True, film=film.filming(config, 3))
    one, two = (
        [{k: v for k, v in row.items() if not k.startswith(("norm", "clip"))} for row in film.film_of(folder)]
        for folder in (run, tmp_path / "cut")
    )
    assert one == two


def test_an_unfinished_run_is_inspected_at_its_checkpoint(task, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    saved = training_run.save_checkpoint

    def stop(*arguments):
        saved(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "save_checkpoint", stop)
    with pytest.raises(BaseException):  # noqa: B017, PT011  # however an interruption is explained
        train_classifier.run(recipe(task, "training.epochs=3"), tmp_path / "cut")
    monkeypatch.setattr(training_run, "save_checkpoint", saved)
    report = document(tmp_path / "cut", None)
    one = train_classifier.run(recipe(task, "training.epochs=1"), tmp_path / "one")
    same = document(Path(one.run), None)
    assert report["input"]["checkpoint_epoch"] == 1
    assert report["input"]["loss"] == same["input"]["loss"]
    assert report["layers"] == same["layers"]


def test_what_if_begins_with_the_network_as_it_is(run):
    result = inspect_gradients.run(run, None, InspectConfig(level="quick"), extras=Extras(what_if=True)).result
    assert result.what_if[0]["ratio_at_need_log10"] == result.verdict["ratio_at_need_log10"]
    assert len({row["name"] for row in result.what_if}) == len(result.what_if) >= 9


def test_predictions_begin_where_the_table_begins(tmp_path, monkeypatch):
    """The verdict is over all losses, the table over one a sequence: their ratios differ."""
    monkeypatch.chdir(ROOT)
    path = tmp_path / "words.yaml"
    path.write_text(
        "data: {train: sample_data/corpus.txt}\nembeddings: {dim: 8}\nmodel: {hidden_size: 8, init: uniform}\n"
        "training: {bptt_steps: 35}\n"
    )
    config = InspectConfig(need=20, sequences=8, max_length=60)
    result = inspect_gradients.run(path, None, config, extras=Extras(what_if=True)).result
    assert result.what_if[0]["ratio_at_need_log10"] != result.verdict["ratio_at_need_log10"]
    predicted = [one["expects"] for one in result.verdict["advice"] if one["expects"].get("what_if")]
    table = {row["name"]: row["ratio_at_need_log10"] for row in result.what_if}
    assert len(predicted) >= 2
    assert all((e["from"], e["to"]) == (table["as it is"], table[e["what_if"]]) for e in predicted)


def test_a_kind_is_for_recipes(run, task):
    report = document(task / "recipe.yaml", None, kind="classifier", level="quick")
    assert report == document(task / "recipe.yaml", None, level="quick")
    for arguments, config in [((run, None), {}), ((None, None), {"probe": "recall"})]:
        with pytest.raises(UsageError, match="--kind"):
            inspect_gradients.run(*arguments, InspectConfig(kind="classifier", **config))


def test_a_language_model_needs_no_key_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "plain.yaml").write_text("data: {train: sample_data/corpus.txt}\nmodel: {hidden_size: 8}\n")
    report = document(tmp_path / "plain.yaml", None, level="quick", sequences=4, max_length=20)
    assert report["architecture"]["task"] == "language-model"


def test_a_race_predicts_first_and_pairs_by_seed(task):
    extras = Extras(prove=True, arms=("lstm",), seeds=2, epochs=1)
    proof = inspect_gradients.run(task / "recipe.yaml", None, InspectConfig(level="quick"), extras=extras).result.prove
    base, arm = proof["arms"]
    assert (base["name"], arm["name"]) == ("as it is", "lstm")
    assert len(base["losses"]) == len(arm["losses"]) == 2
    difference = np.mean(np.array(arm["losses"]) - np.array(base["losses"]))
    assert proof["results"][0]["mean"] == pytest.approx(difference)
    assert "before training" in proof["prediction"]["text"]


def arms(base, other, base_ratio=-3.0, other_ratio=-1.0):
    k = len(base)
    return (
        Arm("as it is", {}, base_ratio, list(base), [base_ratio] * k, [1.0] * k),
        Arm("other", {}, other_ratio, list(other), [other_ratio + 0.01 * i for i in range(k)], [1.0] * k),
    )


def test_the_four_labels():
    base = [1.0, 1.1, 0.9, 1.05, 0.95]
    noise = [0.3, -0.4, 0.2, -0.1, 0.05]
    undecided = [b + n for b, n in zip(base, noise, strict=True)]
    assert compare(*arms(base, [b - 0.5 for b in base]))["label"] == "PROVED"
    assert compare(*arms(base, [b + 0.5 for b in base]))["label"] == "WORSE"
    assert compare(*arms(base, undecided))["label"] == "GRADIENT BETTER BUT LOSS NOT"
    assert compare(*arms(base, undecided, -1.0, -3.0))["label"] == "NOT PROVED"


def test_a_ratio_of_exactly_one_is_a_promise_too():
    kept, lost = Arm("kept", {}, 0.0, [1.0, 1.1]), Arm("lost", {}, None, [1.0, 1.2])
    assert compare(lost, kept)["predicted_better"] is True
    assert compare(kept, lost)["predicted_better"] is False
    assert predict([Arm("as it is", {}, -1.0), kept, lost], 5)["better"] == ["kept"]
    unknown = predict([Arm("as it is", {}, None), lost], 99)
    assert unknown["text"].startswith("no gradient was measured 99 steps back")
    assert (unknown["better"], unknown["order"]) == ([], [])


def test_a_race_from_a_trained_run_promises_what_its_first_values_do(run, task, monkeypatch):
    seen = []
    monkeypatch.setattr(inspect_gradients, "race", lambda recipe, config, arms, *rest: seen.extend(arms) or {})
    extras = Extras(prove=True, arms=("lstm", "irnn"))
    for path in (run, task / "recipe.yaml"):
        inspect_gradients.run(path, None, InspectConfig(level="quick"), extras=extras)
    assert [arm.name for arm in seen] == ["as it is", "lstm", "irnn"] * 2
    for trained, first in zip(seen[:3], seen[3:], strict=True):
        assert trained.predicted_ratio_log10 == pytest.approx(first.predicted_ratio_log10, abs=1e-12)
        assert trained.predicted_share_log10 == pytest.approx(first.predicted_share_log10, abs=1e-12)


def test_intervals_are_students():
    mean, low, high = interval([1.0, 2.0, 4.0, 5.0, 8.0])
    assert mean == 4.0
    half = 2.776 * np.std([1, 2, 4, 5, 8], ddof=1) / np.sqrt(5)  # t of 4 degrees of freedom
    assert (low, high) == (pytest.approx(4 - half), pytest.approx(4 + half))


def test_predictions_name_what_should_win():
    said = predict(arms([1.0], [1.0]), 20)
    assert said["better"] == ["other"]
    assert predict(arms([1.0], [1.0], -1.0, -3.0), 20)["better"] == []


def test_dotted_changes_of_a_recipe(task):
    config = changed(recipe(task), {"model.cell": "lstm", "training.lr": 0.5, "seed": 9})
    assert (config.model.cell, config.training.lr, config.seed) == ("lstm", 0.5, 9)
    with pytest.raises(ValueError, match="cell"):
        changed(recipe(task), {"model.cell": "nonsense"})


def test_a_variant_is_what_its_change_of_the_recipe_makes(task):
    from rnncli.inspection.what_if import variants
    from rnncli.rnn.init import Start

    base = recipe(task, "model.init=uniform", "model.cell=lstm", "model.chrono=7")
    for variant in variants(20, "uniform"):
        config = changed(base, variant.change)
        assert config.model.cell == variant.cell
        assert Start.of(config.model) == (
            variant.start
            if variant.cell == "lstm"
            else Start(variant.start.how, config.model.forget_bias, variant.start.chrono)
        )


def test_weights_that_are_not_finite_are_refused(run, tmp_path):
    model = load_model(run)
    name = next(name for name in model.tensors if "weight_hh" in name)
    damaged = model.tensors[name].copy()
    damaged[0, 0] = np.nan
    save_model(tmp_path / "model.safetensors", replace(model, tensors={**model.tensors, name: damaged}))
    with pytest.raises(ArtifactError, match="finite"):
        document(tmp_path / "model.safetensors", Path("nothing"))


def test_a_model_of_another_program_needs_no_recipe(run, task, tmp_path):
    model = load_model(run)
    save_model(tmp_path / "model.safetensors", replace(model, meta={**model.meta, "config": {}}))
    report = document(tmp_path / "model.safetensors", Path(document(run, None, level="quick")["input"]["file"]))
    assert report["norms"] is None
    with pytest.raises(UsageError, match="--prove"):
        inspect_gradients.run(tmp_path / "model.safetensors", None, InspectConfig(), extras=Extras(prove=True))


def test_sentences_with_labels_that_the_tagger_lacks_have_no_loss(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    lines = "the\tDET\ndog\tNOUN\n\nthe\tNEVER\ndog\tNOUN\n\n"
    (tmp_path / "some.tsv").write_text(lines)
    assert document(Path("configs/tagged.yaml"), tmp_path / "some.tsv")["input"]["loss_terms"] == 2
    (tmp_path / "none.tsv").write_text("the\tNEVER\n\n")
    with pytest.raises(CorpusError, match="lacks"):
        document(Path("configs/tagged.yaml"), tmp_path / "none.tsv")


def test_columns_are_those_of_the_recipe(task, tmp_path):
    texts = (task / "train.tsv").read_text().replace("label\ttext", "kind\tline", 1)
    (tmp_path / "train.tsv").write_text(texts)
    data = f"train: {tmp_path}/train.tsv, text_column: line, label_column: kind"
    (tmp_path / "recipe.yaml").write_text(f"data: {{{data}}}\nembeddings: {{dim: 4}}\nmodel: {{hidden_size: 4}}\n")
    document(tmp_path / "recipe.yaml", None, level="quick", kind="classifier")
    with pytest.raises(CorpusError, match="label"):
        document(tmp_path / "recipe.yaml", task / "train.tsv", level="quick")
    (tmp_path / "given.tsv").write_text((task / "train.tsv").read_text())
    document(tmp_path / "recipe.yaml", tmp_path / "given.tsv", level="quick", text_column="text", label_column="label")
    lines = "".join(f"w{i % 5}\t{'AB'[i % 2]}\tX{i}\n" + ("\n" if i % 6 == 5 else "") for i in range(240))
    (tmp_path / "tagged.tsv").write_text(lines)
    data = f"train: {tmp_path}/tagged.tsv, label_column: 1"
    (tmp_path / "tags.yaml").write_text(f"data: {{{data}}}\nembeddings: {{dim: 4}}\nmodel: {{hidden_size: 4}}\n")
    found = document(tmp_path / "tags.yaml", tmp_path / "tagged.tsv", level="quick", sequences=40, kind="tagger")
    assert found["input"]["sequences"] == 40  # none is left out because another column was read
    config = load_config(TaggerConfig, tmp_path / "tags.yaml", ["training.epochs=1"]).config
    train_tagger.run(config, tmp_path / "tags")
    assert document(tmp_path / "tags", tmp_path / "tagged.tsv", level="quick")["input"]["sequences"] == 40
    by_recipe = evaluate.run(tmp_path / "tags", tmp_path / "tagged.tsv")
    assert by_recipe == evaluate.run(tmp_path / "tags", tmp_path / "tagged.tsv", label_column="1")
    with pytest.raises(CorpusError, match="knows none of its labels"):
        evaluate.run(tmp_path / "tags", tmp_path / "tagged.tsv", label_column="-1")
