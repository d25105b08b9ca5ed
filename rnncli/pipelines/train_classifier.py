"""Labelled text -> a trained classifier in a run folder."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rnncli import __version__
from rnncli.artifacts.bundle import MODEL_NAME, ModelFile, save_model
from rnncli.artifacts.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from rnncli.artifacts.run_directory import InputFile, RunDirectory, describe_input
from rnncli.config.load import config_to_yaml
from rnncli.config.rnn import ClassifierConfig
from rnncli.data.labelled import LabelledIds, build_label_list, build_vocabulary, encode_labelled, split_held_out
from rnncli.data.readers import LabelledTexts, read_labelled
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.model import EmbeddingModel
from rnncli.errors import CorpusError, DivergedError
from rnncli.events import CheckpointSaved, EpochDone, Note, OnEvent, ignore
from rnncli.kernels._jit import set_threads
from rnncli.pipelines.models import load_embeddings
from rnncli.pipelines.resume import check_identity, explained_interruption, run_identity
from rnncli.results import TrainResult
from rnncli.rnn.classifier import Classifier
from rnncli.rnn.describe import cost_line, parameter_table
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.train_state import TrainState
from rnncli.rnn.training import evaluate_network, fit
from rnncli.rnn.warmup import prepare

# Short epochs are not worth a checkpoint each. Time decides when one is written, never what a resumed run ends with.
CHECKPOINT_SECONDS = 5.0
SHOWN = ("train_loss", "valid_loss", "valid_accuracy", "grad_norm_median")  # of history.jsonl, in EpochDone


@dataclass(frozen=True)
class _Prepared:
    """The data of a run, read, split, and encoded."""

    train: LabelledIds
    valid: LabelledIds
    test: LabelledIds | None
    labels: list[str]
    vocab: Vocabulary
    tokenizer: Tokenizer


def run(
    config: ClassifierConfig,
    output: Path,
    *,
    force: bool = False,
    resume: bool = False,
    on_event: OnEvent = ignore,
) -> TrainResult:
    """Train a classifier as `config` says and write the run folder `output`.

    The same config and seed give the same bytes in model.safetensors at any thread count, and after a kill and
    `resume`. Raises UsageError, CorpusError, ArtifactError, DivergedError.
    """
    threads = set_threads(config.threads)
    with RunDirectory.create(output, force=force, resume=resume) as folder, explained_interruption(folder):
        inputs = [describe_input(p) for p in (config.data.train, config.data.valid, config.data.test) if p is not None]
        pretrained = load_embeddings(config.embeddings.path, on_event) if config.embeddings.path is not None else None
        data = _prepare(config, pretrained, on_event)
        network, hit_rate = _build(config, data, pretrained, on_event)
        identity = run_identity(config, [item.sha256 for item in inputs])
        state = TrainState(network, Optimiser(config.training, network, config.embeddings.trainable))
        if resume and (stored := load_checkpoint(folder)) is not None:
            tensors, meta = stored
            check_identity(meta["identity"], identity)
            state.restore(tensors, meta)
            on_event(Note(f"resumed after epoch {state.epoch}"))
        folder.keep_history(state.epoch)
        on_event(Note(_description(network, config, data)))
        prepare(network.spec, config.training)
        folder.write_text("config.yaml", config_to_yaml(config))
        saved = -math.inf
        try:
            for row in fit(state, data.train, data.valid, data.labels, config.training, config.seed, on_event):
                folder.append_history(row)
                on_event(EpochDone(state.epoch, {name: row[name] for name in SHOWN}, bool(row["best"])))
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    save_checkpoint(folder, state.to_tensors(), {**state.to_meta(), "identity": identity})
                    on_event(CheckpointSaved(str(folder.path), state.epoch))
                    saved = time.monotonic()
        except DivergedError:
            if state.best.epoch > 0:
                _save(folder, config, data, state, inputs, threads, hit_rate)
            raise
        result = _save(folder, config, data, state, inputs, threads, hit_rate)
        remove_checkpoint(folder)
        return result


def _description(network: Network, config: ClassifierConfig, data: _Prepared) -> str:
    """The size of the network and the cost of one text of usual length, in a sentence."""
    rows = parameter_table(network, config.embeddings.trainable)
    cost = cost_line(network.spec, max(1, round(float(data.train.lengths.mean()))))
    return (
        f"{sum(row.count for row in rows if row.trainable):,} trainable numbers; a text of {cost.length} tokens, the mean,"
        f" costs {cost.recurrence_flops / 1e6:.3g} MFLOP in the recurrence (self-attention of the same width:"
        f" {cost.attention_flops / 1e6:.3g}; equal at {cost.crossing_length:.0f} tokens)"
    )


def _prepare(config: ClassifierConfig, pretrained: EmbeddingModel | None, on_event: OnEvent) -> _Prepared:
    """Read and encode the data; the vocabulary comes from the training rows, and from the pretrained vectors."""
    d = config.data
    texts = read_labelled(d.train, d.format, d.text_column, d.label_column)
    if d.valid is not None:
        valid_texts = read_labelled(d.valid, d.format, d.text_column, d.label_column)
    else:
        train_rows, valid_rows = split_held_out(len(texts.texts), d.valid_fraction, config.seed, texts.labels)
        texts, valid_texts = _take(texts, train_rows), _take(texts, valid_rows)
        on_event(Note(f"held out {valid_rows.size} of {train_rows.size + valid_rows.size} rows for validation"))
    labels = build_label_list(texts.labels)
    if len(labels) < 2:
        raise CorpusError(f"{d.train}: every row has the label {labels[0]!r}; a classifier needs at least two labels")
    if config.model.head == "binary" and len(labels) != 2:
        raise CorpusError(f"{d.train}: model.head binary needs two labels, found {len(labels)}; use multiclass")
    tokenizer = Tokenizer(d.tokenizer, d.lowercase)
    if pretrained is not None and pretrained.tokenizer != tokenizer:
        on_event(Note("embeddings.path was made with another tokenizer or case folding; fewer words will match"))
    vocab, report = build_vocabulary(texts.texts, tokenizer, d.min_count, d.max_vocab, d.max_length)
    if report.dropped_types:
        on_event(Note(f"vocabulary {len(vocab)} tokens; {report.dropped_types} rare ones are unknown"))
    if pretrained is not None and config.embeddings.keep_all:
        vocab = vocab.extended(pretrained.vocab.tokens)
    index = {label: i for i, label in enumerate(labels)}

    def encode(records: LabelledTexts) -> LabelledIds:
        return encode_labelled(records, tokenizer, vocab, index, d.max_length)

    test = None
    if d.test is not None:
        test = encode(read_labelled(d.test, d.format, d.text_column, d.label_column))
    return _Prepared(encode(texts), encode(valid_texts), test, labels, vocab, tokenizer)


def _take(texts: LabelledTexts, rows: np.ndarray) -> LabelledTexts:
    return LabelledTexts(
        [texts.texts[r] for r in rows], [texts.labels[r] for r in rows], [texts.lines[r] for r in rows], texts.path
    )


def _build(
    config: ClassifierConfig, data: _Prepared, pretrained: EmbeddingModel | None, on_event: OnEvent
) -> tuple[Network, float | None]:
    """The network with its first weights, and the share of training tokens that have a pretrained vector."""
    m = config.model
    dim = config.embeddings.dim if pretrained is None else pretrained.dim
    spec = NetworkSpec.of(m, len(data.vocab), dim, len(data.labels))
    network = Network(spec)
    network.initialise(m.init, config.seed)
    if pretrained is None:
        return network, None
    rows, found = pretrained.rows_of(data.vocab.tokens)
    network.embedding_VE[found] = pretrained.vectors_VE[rows[found]]
    seen = data.vocab.counts > 0
    hit_rate = float(data.vocab.counts[found & seen].sum() / max(1, data.vocab.counts[seen].sum()))
    on_event(Note(f"{hit_rate:.1%} of the training tokens have a pretrained vector"))
    return network, hit_rate


def _save(
    folder: RunDirectory,
    config: ClassifierConfig,
    data: _Prepared,
    state: TrainState,
    inputs: list[InputFile],
    threads: int,
    hit_rate: float | None,
) -> TrainResult:
    """Write the best epoch's model, metrics.json and manifest.json."""
    network = state.best_network()
    classifier = Classifier(network, data.vocab, data.tokenizer, data.labels, config.data.max_length)
    meta = {
        **classifier.to_meta(),
        "config": config.model_dump(mode="json", exclude={"threads"}),
        "provenance": {"rnncli": __version__, "seed": config.seed, "inputs": [item.sha256 for item in inputs]},
    }
    digest = save_model(folder.path / MODEL_NAME, ModelFile("classifier", classifier.to_tensors(), meta))
    result = TrainResult(
        run=str(folder.path),
        best_epoch=state.best.epoch,
        epochs=state.epoch,
        valid=evaluate_network(network, data.valid, data.labels).to_json(),
        test=None if data.test is None else evaluate_network(network, data.test, data.labels).to_json(),
        train_seconds=round(state.seconds, 3),
        tokens_per_second=round(state.tokens / max(state.seconds, 1e-9), 1),
        model_sha256=digest,
        parameters=network.dense.flat.size + network.embedding_VE.size,
        labels=data.labels,
        pretrained_hit_rate=hit_rate,
    )
    folder.write_json("metrics.json", asdict(result))
    folder.manifest(config.seed, threads, inputs)
    return result
