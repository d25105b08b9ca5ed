"""Labelled text -> a trained classifier in a run folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnncli.config.rnn import ClassifierConfig
from rnncli.data.features import FeatureTables, check_features, columns_of
from rnncli.data.labelled import (
    LabelledIds,
    build_features,
    build_label_list,
    build_vocabulary,
    encode_labelled,
    split_held_out,
)
from rnncli.data.readers import LabelledTexts, read_labelled
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.model import EmbeddingModel
from rnncli.errors import CorpusError, UsageError
from rnncli.events import Note, OnEvent, ignore
from rnncli.pipelines.training_run import (
    FilmMaker,
    Prepared,
    check_truncation,
    copy_pretrained,
    load_pretrained,
    run_training,
)
from rnncli.results import EvalResult, TrainResult
from rnncli.rnn.classification import ClassificationTask, evaluate_network
from rnncli.rnn.classifier import Classifier
from rnncli.rnn.init import Start
from rnncli.rnn.network import Network
from rnncli.rnn.spec import NetworkSpec

SHOWN = ("train_loss", "valid_loss", "valid_accuracy", "grad_norm_median")  # of history.jsonl, in EpochDone
SHOWN_SETS = ("train_loss", "valid_loss", "valid_micro_f1", "grad_norm_median")


@dataclass(frozen=True)
class _Data:
    """The data of a run, read, split, and encoded."""

    train: LabelledIds
    valid: LabelledIds
    test: LabelledIds | None
    labels: list[str]
    vocab: Vocabulary
    tokenizer: Tokenizer
    features: FeatureTables


def run(
    config: ClassifierConfig,
    output: Path,
    *,
    force: bool = False,
    resume: bool = False,
    on_event: OnEvent = ignore,
    film: FilmMaker | None = None,
) -> TrainResult:
    """Train a classifier as `config` says and write the run folder `output`; see training_run.run_training."""
    d = config.data
    one_way = config.model.pooling == "last" and not config.model.bidirectional
    check_truncation(config.training, one_way, "a classifier can be cut only with pooling last and one direction")
    if config.training.bptt_stride is not None:
        raise UsageError("training.bptt_stride: has no meaning where there is one loss a text; leave it out")
    check_features(d.features)
    if columns_of(d.features):
        raise UsageError("data.features: texts have no columns; column:... is for train-tagger")
    if (config.model.head == "multilabel") != (d.label_separator is not None):
        raise UsageError("model.head multilabel and data.label_separator go together; set both or neither")
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


def prepare_run(config: ClassifierConfig, on_event: OnEvent) -> Prepared:
    """Read the data and make the network with its first weights."""
    pretrained = load_pretrained(config.embeddings, on_event)
    data = _read(config, pretrained, on_event)
    dim = config.embeddings.dim if pretrained is None else pretrained.dim
    spec = NetworkSpec.of_classifier(
        config.model, len(data.vocab), dim, len(data.labels),
        features=len(data.features.names), feature_rows=data.features.rows, feature_dim=config.embeddings.feature_dim,
    )  # fmt: skip
    network = Network(spec)
    network.initialise(Start.of(config.model), config.seed)
    hit_rate = copy_pretrained(network, data.vocab, pretrained, on_event)

    def model(trained: Network) -> Classifier:
        return Classifier(
            trained, data.vocab, data.tokenizer, data.labels, config.data.max_length, data.features,
            config.data.label_separator,
        )  # fmt: skip

    def measure(trained: Network) -> tuple[EvalResult, EvalResult | None]:
        test = None if data.test is None else evaluate_network(trained, data.test, data.labels)
        return evaluate_network(trained, data.valid, data.labels), test

    task = ClassificationTask.of(data.train, data.valid, data.labels, config.training, config.seed)
    shown = SHOWN if config.data.label_separator is None else SHOWN_SETS
    mean_length = float(data.train.lengths.mean())
    return Prepared(network, task, model, measure, shown, mean_length, "text", data.labels, hit_rate)


def _read(config: ClassifierConfig, pretrained: EmbeddingModel | None, on_event: OnEvent) -> _Data:
    """Read and encode the data; the vocabulary comes from the training rows, and from the pretrained vectors."""
    d = config.data

    def read(path: Path) -> LabelledTexts:
        return read_labelled(path, d.format, d.text_column, d.label_column, d.label_separator)

    texts = read(d.train)
    if d.valid is not None:
        valid_texts = read(d.valid)
    else:
        train_rows, valid_rows = split_held_out(len(texts.texts), d.valid_fraction, config.seed, texts.labels)
        texts, valid_texts = _take(texts, train_rows), _take(texts, valid_rows)
        on_event(Note(f"held out {valid_rows.size} of {train_rows.size + valid_rows.size} rows for validation"))
    labels = build_label_list(texts.labels, d.label_separator)
    if len(labels) < (2 if d.label_separator is None else 1):
        found = f"every row has the label {labels[0]!r}" if labels else "no row has a label"
        raise CorpusError(f"{d.train}: {found}; a classifier needs at least two labels")
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
    features = build_features(d.features, texts.texts, tokenizer, d.feature_min_count, d.max_length)
    index = {label: i for i, label in enumerate(labels)}

    def encode(records: LabelledTexts) -> LabelledIds:
        return encode_labelled(
            records, tokenizer, vocab, index, d.max_length, features=features, separator=d.label_separator
        )

    test = None if d.test is None else encode(read(d.test))
    return _Data(encode(texts), encode(valid_texts), test, labels, vocab, tokenizer, features)


def _take(texts: LabelledTexts, rows: np.ndarray) -> LabelledTexts:
    return LabelledTexts(
        [texts.texts[r] for r in rows], [texts.labels[r] for r in rows], [texts.lines[r] for r in rows], texts.path
    )
