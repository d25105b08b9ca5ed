"""Models, recipes and synthetic tasks -> what inspect-gradients looks at."""

from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.artifacts.bundle import load_model
from rnncli.artifacts.checkpoint import load_checkpoint
from rnncli.artifacts.run_directory import CHECKPOINT_NAME, MODEL_NAME, RunDirectory, describe_input
from rnncli.config.inspection import InspectConfig
from rnncli.config.rnn import TrainingConfig
from rnncli.data import probes as tasks
from rnncli.data.labelled import encode_labelled
from rnncli.data.numeric import read_number_labels, read_series
from rnncli.data.readers import read_labelled
from rnncli.data.running import encode_running, read_running
from rnncli.data.tagged import read_tagged
from rnncli.errors import ArtifactError, CorpusError, UsageError
from rnncli.events import OnEvent
from rnncli.inspection.probe import Probe
from rnncli.pipelines.models import Recurrent, load_recurrent
from rnncli.pipelines.recipe_files import recipe_file
from rnncli.pipelines.recipes import Recipe, RecipeConfig, stored_recipe
from rnncli.pipelines.regression_inputs import forecast_rows
from rnncli.pipelines.train_tagger import encode
from rnncli.rnn.classifier import Classifier
from rnncli.rnn.init import Start
from rnncli.rnn.language import LanguageModel, shifted
from rnncli.rnn.network import Network
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.packing import Sequences
from rnncli.rnn.regression import Regressor
from rnncli.rnn.spans import is_bio, span_lengths
from rnncli.rnn.spec import NetworkSpec
from rnncli.rnn.tagging import Tagger
from rnncli.rnn.train_state import TrainState

SEQUENCES, SEQUENCES_OF_MANY = 200, 16  # drawn by default: of rows with one loss, with many
SENTENCES = 64
YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Subject:
    """A model, or a recipe that has not been trained yet, and how it is or would be trained."""

    model: Recurrent
    recipe: Recipe | None
    config: RecipeConfig | None
    trained: bool
    described: dict[str, Any]

    @property
    def training(self) -> TrainingConfig | None:
        return self.config.training if self.config is not None else None


@dataclass(frozen=True)
class Rows:
    """What a file holds, for a model to read."""

    data: Sequences
    targets: NDArray[Any]
    need: int | None = None
    need_source: str = "user"


def subject_of(path: Path, on_event: OnEvent, kind: str | None = None) -> Subject:
    """A trained model from its run folder or file, or the first values of a YAML recipe, whose `kind` is guessed if None."""
    subject = _loaded(path, on_event, kind)
    network = subject.model.network
    if not all(np.isfinite(part).all() for part in (network.dense.flat, *network.tables.values())):
        raise ArtifactError(f"{path}: its weights are not all finite; train again with a smaller learning rate")
    return subject


def _loaded(path: Path, on_event: OnEvent, kind: str | None) -> Subject:
    if kind is not None and path.suffix.lower() not in YAML:
        raise UsageError(f"--kind {kind}: says what a recipe (YAML) trains; a run or a model file says it itself")
    if path.suffix.lower() in YAML and path.is_file():
        recipe, config = recipe_file(path, kind=kind)
        ready = recipe.prepare(config, on_event)
        model = ready.model(ready.network)
        described = {"model": str(path), "model_sha256": describe_input(path).sha256}
        return Subject(model, recipe, config, False, described)  # type: ignore[arg-type]  # each kind is one of Recurrent
    if path.is_dir() and not (path / MODEL_NAME).exists() and (path / CHECKPOINT_NAME).exists():
        return _unfinished(path, on_event)
    model_, stored = load_recurrent(path), load_model(path)
    recipe_ = config_ = None
    if stored.meta.get("config"):  # one that came from another program does not say
        recipe_, config_ = stored_recipe(path, stored.kind, stored.meta)
    file = path / MODEL_NAME if path.is_dir() else path
    return Subject(model_, recipe_, config_, True, {"model": str(path), "model_sha256": describe_input(file).sha256})


def _unfinished(folder: Path, on_event: OnEvent) -> Subject:
    """The weights of a run that is under way or was killed: its last checkpoint."""
    recipe, config = recipe_file(folder / "config.yaml")
    ready = recipe.prepare(config, on_event)
    state = TrainState(ready.network, Optimiser(config.training, ready.network, config.embeddings.trainable))
    with RunDirectory(folder) as run:
        found = load_checkpoint(run)
    assert found is not None
    state.restore(*found)
    described = {
        "model": str(folder),
        "model_sha256": describe_input(folder / CHECKPOINT_NAME).sha256,
        "checkpoint_epoch": state.epoch,
    }
    return Subject(ready.model(state.network), recipe, config, True, described)  # type: ignore[arg-type]


def probe_of(subject: Subject, file: Path | None, how: InspectConfig) -> Probe:
    """Probe sequences drawn from `file`, or from the file that the recipe names for validation or training."""
    model = subject.model
    file = file if file is not None else _own_file(subject)
    rows = _read(model, file, how, subject)
    lengths = np.minimum(rows.data.lengths, how.max_length)
    many = model.network.spec.pooling not in ("last",)
    default = SENTENCES if isinstance(model, Tagger) else SEQUENCES_OF_MANY if many else SEQUENCES
    chosen = probe_rows(rows.data.n, how.sequences or default, how.seed)
    data, targets = last_tokens(rows, lengths, chosen, model.network.spec.each)
    if not data.lengths.any():
        raise CorpusError(f"{file}: the probe sequences have no tokens; there is no gradient to inspect")
    training = subject.training
    words, labels = None, getattr(model, "labels", None)
    vocab = getattr(model, "vocab", None)
    if vocab is not None:
        words = vocab_words(vocab.tokens)
    source = {**subject.described, "file": str(file) if file else None}
    if file is not None:
        source["sha256"] = describe_input(file).sha256
    each = model.network.spec.each
    back = training.bptt_steps if training is not None else None
    stride = min(training.bptt_stride or back, back) if training is not None and back is not None else None
    return Probe(
        model.network, data, targets, model.kind, subject.trained, training,
        (back, stride) if back is not None and stride is not None else None, bptt_at_ends=not each,
        train_embedding=subject.config.embeddings.trainable if subject.config is not None else True,
        init=subject.config.model.init if subject.config is not None else None,
        need=how.need or rows.need, need_source="user" if how.need else rows.need_source,
        prior_loss=prior_loss(model.network.spec, targets), words=words, labels=labels, source=source,
    )  # fmt: skip


def vocab_words(tokens: list[str]) -> Any:
    """Ids -> the tokens that they stand for."""
    return lambda ids: [tokens[i] for i in ids]


def synthetic_probe(how: InspectConfig) -> Probe:
    """A fresh network on a task whose need is known: recall, adding, copy (data/probes.py)."""
    n = how.sequences or (SEQUENCES_OF_MANY if how.probe == "copy" else SEQUENCES)
    more: dict[str, int | bool | str] = {}
    labels: list[str] | None = None
    if how.probe == "adding":
        drawn = tasks.adding(how.seed, n, max(2, how.length))
        data, targets = Sequences(drawn.starts, drawn.lengths, values=drawn.values), drawn.targets
        spec = NetworkSpec.of(
            how.model, 0, 0, 1, "regression", inputs=2, pooling=how.model.pooling, bidirectional=how.model.bidirectional
        )
        prior, task, names = 1.0 / 6.0, "regressor", None
        need = max(1, how.length // 2)  # the first mark lies in the first half: half of the steps always, all at most
    else:
        if how.probe == "copy":
            found, names = tasks.copy_memory(how.seed, n, how.length)
            need, prior, task = how.length + 10, tasks.copy_memory_loss(how.length), "tagger"
            more = {"pooling": "each", "bidirectional": False}
            classes = 9
        else:
            found, names = tasks.recall(how.seed, n, how.length)
            need, prior, task = how.length, log(4.0), "classifier"
            more = {"pooling": how.model.pooling, "bidirectional": how.model.bidirectional}
            classes = 4
        data, targets = Sequences.of_texts(found.ids, found.offsets), found.labels
        spec = NetworkSpec.of(how.model, len(names), how.embedding_dim, classes, "multiclass", **more)
        labels = names[:classes]
    network = Network(spec)
    network.initialise(Start.of(how.model), how.seed)
    back = how.training.bptt_steps
    return Probe(
        network, data, targets, task, False, how.training,
        (back, min(how.training.bptt_stride or back, back)) if back else None, bptt_at_ends=how.probe != "copy",
        init=how.model.init,
        need=how.need or need, need_source="user" if how.need else f"{how.probe} task", prior_loss=prior,
        words=vocab_words(names) if names else None, labels=labels,
        source={"probe": how.probe, "length": how.length},
    )  # fmt: skip


def probe_rows(n: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """`wanted` of n rows (all, if there are not more), drawn by the seed, in file order."""
    return np.sort(rng.permutation(rng.key(seed, rng.Stream.PROBE), n)[:wanted])


def last_tokens(
    rows: Rows, lengths: NDArray[np.int64], chosen: NDArray[np.int64], each: bool
) -> tuple[Sequences, NDArray[Any]]:
    """The last `lengths` tokens of the chosen rows, one row after the other, and their targets."""
    data = rows.data
    starts = data.starts[chosen] + data.lengths[chosen] - lengths[chosen]
    at = np.concatenate(
        [np.arange(a, a + n) for a, n in zip(starts, lengths[chosen], strict=True)] or [np.empty(0, int)]
    )
    begin = np.cumsum(lengths[chosen]) - lengths[chosen]
    taken = Sequences(
        begin, lengths[chosen], None if data.ids is None else data.ids[at],
        None if data.features is None else data.features[at], None if data.values is None else data.values[at],
    )  # fmt: skip
    return taken, rows.targets[at if each else chosen]


def prior_loss(spec: NetworkSpec, targets: NDArray[Any]) -> float | None:
    """The loss of knowing nothing but how often each label occurs, or the mean; None where that is 0."""
    if spec.head == "regression":
        loss = float(np.mean((targets - targets.mean(axis=0)) ** 2))
    elif spec.head == "multilabel":
        p = np.clip(targets.mean(axis=0), 1e-12, 1 - 1e-12)
        loss = float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).sum())
    else:
        shares = np.unique(targets, return_counts=True)[1] / targets.size
        loss = float(-(shares * np.log(shares)).sum())
    return loss if loss > 0 else None


def _own_file(subject: Subject) -> Path | None:
    """The file that a recipe names; None where it draws its data."""
    data = subject.config.data if subject.config is not None else None
    if data is None:
        raise UsageError("name a file to draw probe sequences from: the model does not say what it was trained on")
    return data.valid or data.train


def _column(how: InspectConfig, subject: Subject, name: str, default: int | str) -> Any:
    """The user's text_column or label_column, else the recipe's, else what most files have."""
    data = subject.config.data if subject.config is not None else None
    given = getattr(how, name)
    return given if given is not None else getattr(data, name, default)


def _read(model: Recurrent, file: Path | None, how: InspectConfig, subject: Subject) -> Rows:
    text_column, label_column = (_column(how, subject, f"{name}_column", name) for name in ("text", "label"))
    if isinstance(model, Classifier):
        assert file is not None
        records = read_labelled(file, "auto", text_column, label_column, model.separator)
        found = encode_labelled(
            records, model.tokenizer, model.vocab, model.label_index, model.max_length, features=model.features,
            separator=model.separator,
        )  # fmt: skip
        return Rows(Sequences.of_texts(found.ids, found.offsets, found.features), found.labels)
    if isinstance(model, Tagger):
        assert file is not None
        texts = read_tagged(file, model.token_column, _column(how, subject, "label_column", -1), model.columns)
        tagged = encode(model, texts)
        spans = span_lengths(texts.labels, texts.offsets) if is_bio(model.labels) else np.empty(0, np.int64)
        need = max(1, int(np.quantile(spans, 0.9, method="inverted_cdf"))) if spans.size else None
        rows, unknown_N = tagged.sequences, np.concatenate([[0], np.cumsum(tagged.labels < 0)])
        known = (
            unknown_N[rows.starts] == unknown_N[rows.starts + rows.lengths]
        )  # a loss needs a label that the model has
        if not known.any():
            raise CorpusError(f"{file}: every sentence has a label that the model lacks; there is no loss to inspect")
        some = Sequences(rows.starts[known], rows.lengths[known], rows.ids, rows.features, rows.values)
        return Rows(some, tagged.labels, need, "span_p90")
    if isinstance(model, LanguageModel):
        assert file is not None
        running = encode_running(read_running(file, model.tokenizer), model.vocab)
        pieces = max(1, running.ids.size // how.max_length)
        starts = np.arange(pieces, dtype=np.int64) * how.max_length
        lengths = np.minimum(how.max_length, running.ids.size - starts)
        return Rows(Sequences(starts, lengths, shifted(running)), running.ids)
    return _numbers(model, file, how, subject)


def _numbers(model: Regressor, file: Path | None, how: InspectConfig, subject: Subject) -> Rows:
    scale = model.target_scale
    text_column, label_column = (_column(how, subject, f"{name}_column", name) for name in ("text", "label"))

    def scaled(targets: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(targets if scale is None else scale.apply(targets), np.float64)

    if file is None:
        data = subject.config.data if subject.config is not None else None
        length = getattr(data, "length", how.length)
        drawn = tasks.adding(how.seed, how.sequences or SEQUENCES, length)
        return Rows(
            Sequences(drawn.starts, drawn.lengths, values=drawn.values), drawn.targets, length // 2, "adding task"
        )
    if model.input == "text":
        records, numbers = read_number_labels(file, "auto", text_column, label_column)
        return Rows(model.encode_texts(records.texts), scaled(numbers))
    if model.input != "forecast":
        rows, _ = read_series(file, model.series_column, label_column)
        series = [rows.values[s : s + n] for s, n in zip(rows.starts, rows.lengths, strict=True)]
        return Rows(model.encode_series(series), scaled(rows.targets))
    windows = forecast_rows(model, file)
    return Rows(windows.sequences, windows.targets)
