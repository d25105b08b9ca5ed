"""Tagged sentences -> a trained tagger in a run folder."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rnncli.config.sequences import TaggedDataConfig, TaggerConfig
from rnncli.data.features import FeatureTables, check_features, columns_of
from rnncli.data.labelled import build_label_list, split_held_out
from rnncli.data.tagged import TaggedTexts, read_tagged
from rnncli.data.vocab import Vocabulary
from rnncli.errors import CorpusError
from rnncli.events import Note, OnEvent, ignore
from rnncli.pipelines.training_run import (
    FilmMaker,
    Prepared,
    check_truncation,
    copy_pretrained,
    load_pretrained,
    run_training,
)
from rnncli.results import TaggingResult, TrainResult
from rnncli.rnn.init import Start
from rnncli.rnn.network import Network
from rnncli.rnn.spans import is_bio
from rnncli.rnn.spec import NetworkSpec
from rnncli.rnn.tagging import TaggedIds, Tagger, TaggingTask, evaluate_tagger, fold

SHOWN = ("train_loss", "valid_loss", "valid_accuracy", "grad_norm_median")
SHOWN_SPANS = ("train_loss", "valid_loss", "valid_span_f1", "grad_norm_median")


def run(
    config: TaggerConfig,
    output: Path,
    *,
    force: bool = False,
    resume: bool = False,
    on_event: OnEvent = ignore,
    film: FilmMaker | None = None,
) -> TrainResult:
    """Train a tagger as `config` says and write the run folder `output`; see training_run.run_training."""
    why = "states can be carried from window to window in one direction only (model.bidirectional=false)"
    check_truncation(config.training, not config.model.bidirectional, why)
    d = config.data
    check_features(d.features)
    return run_training(
        config,
        (d.train, d.valid, d.test),
        lambda told: prepare_run(config, told),
        output,
        force,
        resume,
        on_event,
        film,
    )


def read_file(path: Path, data: TaggedDataConfig) -> TaggedTexts:
    """A tagged file as a config says."""
    return read_tagged(path, data.token_column, data.label_column, columns_of(data.features))


def take_sentences(texts: TaggedTexts, rows: NDArray[np.int64]) -> TaggedTexts:
    """Some of the sentences, in the order given."""
    spans = [range(texts.offsets[row], texts.offsets[row + 1]) for row in rows]
    offsets = np.append(0, np.cumsum([len(span) for span in spans])).astype(np.int64)

    def take(values: list[str]) -> list[str]:
        return [values[i] for span in spans for i in span]

    return TaggedTexts(
        take(texts.tokens), offsets, take(texts.labels), {name: take(v) for name, v in texts.columns.items()},
        [texts.lines[i] for span in spans for i in span], texts.path,
    )  # fmt: skip


def encode(tagger: Tagger, texts: TaggedTexts) -> TaggedIds:
    """Sentences and labels as numbers; a label that the model lacks is -1."""
    index = {label: i for i, label in enumerate(tagger.labels)}
    labels = np.array([index.get(label, -1) for label in texts.labels], np.int32)
    return TaggedIds(tagger.encode(texts.tokens, texts.offsets, texts.columns), labels)


def prepare_run(config: TaggerConfig, on_event: OnEvent) -> Prepared:
    """Read the data and make the network with its first weights."""
    d = config.data
    pretrained = load_pretrained(config.embeddings, on_event)
    texts = read_file(d.train, d)
    if d.valid is not None:
        valid_texts = read_file(d.valid, d)
    else:
        train_rows, valid_rows = split_held_out(texts.offsets.size - 1, d.valid_fraction, config.seed)
        texts, valid_texts = take_sentences(texts, train_rows), take_sentences(texts, valid_rows)
        on_event(Note(f"held out {valid_rows.size} of {train_rows.size + valid_rows.size} sentences for validation"))
    labels = build_label_list(texts.labels)
    if len(labels) < 2:
        raise CorpusError(f"{d.train}: every token has the label {labels[0]!r}; a tagger needs at least two labels")
    words = fold(texts.tokens, d.lowercase).dictionary_encode()
    counts = np.bincount(words.indices.to_numpy(), minlength=len(words.dictionary)).astype(np.int64)
    vocab, report = Vocabulary.build((words.dictionary, counts), d.min_count, d.max_vocab, unknown=True)
    if report.dropped_types:
        on_event(Note(f"vocabulary {len(vocab)} tokens; {report.dropped_types} rare ones are unknown"))
    if pretrained is not None and config.embeddings.keep_all:
        vocab = vocab.extended(pretrained.vocab.tokens)
    features = FeatureTables.build(
        tuple(d.features), pa.array(texts.tokens, pa.string()), texts.offsets, texts.columns, d.feature_min_count, None
    )
    dim = config.embeddings.dim if pretrained is None else pretrained.dim
    spec = NetworkSpec.of(
        config.model, len(vocab), dim, len(labels), "multiclass", pooling="each",
        bidirectional=config.model.bidirectional, features=len(features.names), feature_rows=features.rows,
        feature_dim=config.embeddings.feature_dim,
    )  # fmt: skip
    network = Network(spec)
    network.initialise(Start.of(config.model), config.seed)
    hit_rate = copy_pretrained(network, vocab, pretrained, on_event)

    def model(trained: Network) -> Tagger:
        return Tagger(trained, vocab, labels, d.lowercase, features, str(d.token_column))

    encoder = model(network)
    train, valid = encode(encoder, texts), encode(encoder, valid_texts)
    test = None if d.test is None else encode(encoder, read_file(d.test, d))

    def measure(trained: Network) -> tuple[TaggingResult, TaggingResult | None]:
        tested = None if test is None else evaluate_tagger(trained, test, labels)
        return evaluate_tagger(trained, valid, labels), tested

    task = TaggingTask(train, valid, labels, config.training, config.seed)
    mean_length = float(train.sequences.lengths.mean())
    shown = SHOWN_SPANS if is_bio(labels) else SHOWN
    return Prepared(network, task, model, measure, shown, mean_length, "sentence", labels, hit_rate)
