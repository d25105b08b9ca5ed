"""What train-regressor reads, each kind of input brought down to rows and numbers: text, series, forecast, probe."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.regression import RegressionDataConfig, RegressorConfig
from rnncli.config.rnn import DataFormat
from rnncli.data import forecast, probes
from rnncli.data.labelled import build_features, build_vocabulary, encode_texts, split_held_out
from rnncli.data.numeric import NumericRows, Standardiser, read_number_labels, read_series
from rnncli.data.tokenise import Tokenizer
from rnncli.errors import CorpusError
from rnncli.events import Note, OnEvent
from rnncli.pipelines.training_run import copy_pretrained, load_pretrained
from rnncli.results import RegressionResult
from rnncli.rnn.init import Start
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences
from rnncli.rnn.regression import NumberRows, Regressor, evaluate_regression
from rnncli.rnn.regression_metrics import regression_scores
from rnncli.rnn.spec import NetworkSpec

Baselines = dict[str, dict[str, float]]


@dataclass(frozen=True)
class RegressionData:
    """What a kind of input comes down to, in the scale that the network works in."""

    train: NumberRows
    valid: NumberRows
    test: NumberRows | None
    network: Network
    regressor: Regressor  # with the untrained network
    scale: Standardiser | None  # of the errors that are reported
    baselines: Callable[[str], Baselines]  # of "valid" and "test": what simple guesses score
    hit_rate: float | None = None


def _network(config: RegressorConfig, vocabulary: int, dim: int, outputs: int, **more: int | bool | str) -> Network:
    m = config.model
    ways: dict[str, int | bool | str] = {"bidirectional": m.bidirectional, "pooling": m.pooling}
    network = Network(NetworkSpec.of(m, vocabulary, dim, outputs, "regression", **(ways | more)))
    network.initialise(Start.of(m), config.seed)
    return network


def _target_scale(config: RegressorConfig, targets: NDArray[np.float64]) -> Standardiser | None:
    return Standardiser.fit(targets) if config.data.standardise else None


def _scaled(scale: Standardiser | None, targets: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(targets if scale is None else scale.apply(targets), np.float32)


def _mean_baseline(train: NDArray[np.float64], true: NDArray[np.float64]) -> Baselines:
    """What the mean of the training numbers scores."""
    return {"mean": _scores(true, np.broadcast_to(train.mean(axis=0), true.shape))}


def _read_texts(path: Path, d: RegressionDataConfig) -> tuple[list[str], NDArray[np.float64]]:
    records, numbers = read_number_labels(path, d.format, d.text_column, d.label_column)
    return records.texts, numbers


def _texts(config: RegressorConfig, on_event: OnEvent) -> RegressionData:
    d = config.data
    pretrained = load_pretrained(config.embeddings, on_event)
    assert d.train is not None
    texts, numbers = _read_texts(d.train, d)
    if d.valid is not None:
        valid_texts, valid_numbers = _read_texts(d.valid, d)
    else:
        rows, held = split_held_out(len(texts), d.valid_fraction, config.seed)
        valid_texts, valid_numbers = [texts[r] for r in held], numbers[held]
        texts, numbers = [texts[r] for r in rows], numbers[rows]
        on_event(Note(f"held out {held.size} of {rows.size + held.size} rows for validation"))
    tokenizer = Tokenizer(d.tokenizer, d.lowercase)
    vocab, report = build_vocabulary(texts, tokenizer, d.min_count, d.max_vocab, d.max_length)
    if report.dropped_types:
        on_event(Note(f"vocabulary {len(vocab)} tokens; {report.dropped_types} rare ones are unknown"))
    if pretrained is not None and config.embeddings.keep_all:
        vocab = vocab.extended(pretrained.vocab.tokens)
    features = build_features(d.features, texts, tokenizer, d.feature_min_count, d.max_length)
    scale = _target_scale(config, numbers)
    dim = config.embeddings.dim if pretrained is None else pretrained.dim
    network = _network(
        config, len(vocab), dim, 1, features=len(features.names), feature_rows=features.rows,
        feature_dim=config.embeddings.feature_dim,
    )  # fmt: skip
    hit_rate = copy_pretrained(network, vocab, pretrained, on_event)

    def encode(some: list[str], y: NDArray[np.float64]) -> NumberRows:
        sequences = Sequences.of_texts(*encode_texts(some, tokenizer, vocab, d.max_length, features))
        return NumberRows(sequences, _scaled(scale, y))

    tested = None if d.test is None else _read_texts(d.test, d)
    true = {"valid": valid_numbers} | ({} if tested is None else {"test": tested[1]})
    regressor = Regressor(
        network,
        "text",
        scale,
        None,
        [],
        [],
        vocab=vocab,
        tokenizer=tokenizer,
        max_length=d.max_length,
        features=features,
    )
    return RegressionData(
        encode(texts, numbers), encode(valid_texts, valid_numbers), None if tested is None else encode(*tested), network,
        regressor, scale, lambda part: _mean_baseline(numbers, true[part]), hit_rate,
    )  # fmt: skip


def _scores(true: NDArray[np.float64], guess: NDArray[np.float64]) -> dict[str, float]:
    scores = regression_scores(true, guess)
    return {"mse": scores.mse, "mae": scores.mae}


def _series(config: RegressorConfig, on_event: OnEvent) -> RegressionData:
    d = config.data
    assert d.train is not None
    train, _ = read_series(d.train, d.series_column, d.label_column)
    if d.valid is not None:
        valid, _ = read_series(d.valid, d.series_column, d.label_column)
    else:
        rows, held = split_held_out(train.n, d.valid_fraction, config.seed)
        train, valid = train.take(rows), train.take(held)
        on_event(Note(f"held out {held.size} of {rows.size + held.size} series for validation"))
    test = None if d.test is None else read_series(d.test, d.series_column, d.label_column)[0]
    for path, part in ((d.valid, valid), (d.test, test)):
        if part is not None and (part.channels, part.outputs) != (train.channels, train.outputs):
            raise CorpusError(
                f"{path}: {part.channels} channels and {part.outputs} numbers a row, but the training file has"
                f" {train.channels} and {train.outputs}"
            )
    return _from_rows(config, "series", train, valid, test)


def _probe(config: RegressorConfig, on_event: OnEvent) -> RegressionData:
    d = config.data
    parts, first = [], 0
    for rows in (d.train_rows, d.valid_rows, d.test_rows):  # one after the other, so that no row is in two
        parts.append(probes.adding(config.seed, rows, d.length, first=first))
        first += rows
    on_event(Note(f"drew {first:,} rows of the adding problem, {d.length} steps each (constant guess: MSE 1/6)"))
    return _from_rows(config, "probe", *parts)


def _from_rows(
    config: RegressorConfig, kind: str, train: NumericRows, valid: NumericRows, test: NumericRows | None
) -> RegressionData:
    """Series with their numbers; channels are standardised over all steps of the training rows."""
    wanted = config.data.standardise and kind == "series"
    true = {name: np.asarray(part.targets, np.float64) for name, part in (("valid", valid), ("test", test)) if part}
    y = np.asarray(train.targets, np.float64)
    target_scale = Standardiser.fit(y) if wanted else None
    input_scale = Standardiser.fit(_steps(train)) if wanted else None
    network = _network(config, 0, 0, train.outputs, inputs=train.channels)

    def rows(part: NumericRows) -> NumberRows:
        values = part.values if input_scale is None else input_scale.apply(part.values)
        sequences = Sequences(part.starts, part.lengths, values=np.asarray(values, np.float32))
        return NumberRows(sequences, _scaled(target_scale, part.targets))

    column = config.data.series_column
    regressor = Regressor(network, kind, target_scale, input_scale, [], [], series_column=column)
    return RegressionData(
        rows(train), rows(valid), None if test is None else rows(test), network, regressor, target_scale,
        lambda part: _mean_baseline(y, true[part]),
    )  # fmt: skip


def _steps(rows: NumericRows) -> NDArray[np.float32]:
    """The values (steps, I) that the rows read."""
    places = [np.arange(start, start + n) for start, n in zip(rows.starts, rows.lengths, strict=True)]
    steps: NDArray[np.float32] = rows.values[np.concatenate([np.empty(0, np.int64), *places])]
    return steps


def _forecast(config: RegressorConfig, on_event: OnEvent) -> RegressionData:
    d = config.data
    assert d.train is not None
    names, table, _ = forecast.read_table(d.train, d.channels)
    targets = list(d.targets or names)
    unknown = sorted(set(targets) - set(names))
    if unknown:
        raise CorpusError(f"{d.train}: no channel {unknown[0]!r} to foretell; the channels are {', '.join(names)}")
    bounds = forecast.split_bounds(len(table), d.split)
    scale = Standardiser.fit(table[: bounds[1]])
    columns = np.array([names.index(name) for name in targets], np.int64)
    values = scale.apply(table)
    parts = [forecast.windows(values, columns, d.window, d.horizon, first, last) for first, last in pairwise(bounds)]
    for name, part in zip(("training", "validation", "test"), parts, strict=True):
        if part.n == 0:
            raise CorpusError(
                f"{d.train}: the {name} part has no place for a window of {d.window} and a horizon of {d.horizon} steps;"
                " change data.split"
            )
    on_event(Note(f"{len(table):,} steps; reads {', '.join(names)}; {parts[0].n:,} windows to learn from"))
    network = _network(config, 0, 0, d.horizon * len(targets), inputs=len(names))
    own = Standardiser(np.tile(scale.mean[columns], d.horizon), np.tile(scale.scale[columns], d.horizon))
    regressor = Regressor(network, "forecast", own, scale, names, targets, d.window, d.horizon, d.season, d.anchor)
    where = {"valid": parts[1], "test": parts[2]}

    def baselines(part: str) -> Baselines:
        rows = where[part]
        guesses = forecast.naive_forecasts(values, columns, d.horizon, d.season, rows.starts + d.window)
        true = np.asarray(rows.targets, np.float64)
        return {name: _scores(true, guess) for name, guess in guesses.items()} | _mean_baseline(
            np.asarray(parts[0].targets, np.float64), true
        )

    guesses = [regressor.guess(values, part.starts + d.window) for part in parts]
    train, valid, test = (
        NumberRows.of_series(part if guess is None else forecast.anchored(part, guess), guess)
        for part, guess in zip(parts, guesses, strict=True)
    )
    # errors are reported in the scale of the network, as is customary: channels count alike
    return RegressionData(train, valid, test, network, regressor, None, baselines)


def evaluate_regressor(
    regressor: Regressor, file: Path, format_: DataFormat, text_column: str, label_column: str
) -> RegressionResult:
    """Errors on a file of its kind: all windows of a forecaster's table, in the scale it was trained in; else as they are."""
    if regressor.input == "text":
        records, numbers = read_number_labels(file, format_, text_column, label_column)
        return regression_scores(numbers, regressor.predict(regressor.encode_texts(records.texts)))
    if regressor.input != "forecast":
        rows, _ = read_series(file, regressor.series_column, label_column)
        if (rows.channels, rows.outputs) != (regressor.network.spec.inputs, regressor.network.spec.classes):
            raise CorpusError(
                f"{file}: {rows.channels} channels and {rows.outputs} numbers a row do not fit this model"
            )
        series = [rows.values[s : s + n] for s, n in zip(rows.starts, rows.lengths, strict=True)]
        return regression_scores(rows.targets, regressor.predict(regressor.encode_series(series)))
    return evaluate_regression(regressor.network, forecast_rows(regressor, file), None)


def forecast_rows(regressor: Regressor, file: Path) -> NumberRows:
    """All windows of a table that a forecaster can be asked about, in the scale it was trained in."""
    names, table, _ = forecast.read_table(file, regressor.channels)
    assert regressor.input_scale is not None
    values = regressor.input_scale.apply(table)
    columns = np.array([names.index(name) for name in regressor.targets], np.int64)
    rows = forecast.windows(values, columns, regressor.window, regressor.horizon, 0, len(values))
    if rows.n == 0:
        raise CorpusError(f"{file}: {len(values)} rows are too few for a window and a horizon of this model")
    guess = regressor.guess(values, rows.starts + regressor.window)
    kept = rows if guess is None else forecast.anchored(rows, guess)
    return NumberRows.of_series(kept, guess)


INPUTS: dict[str, Callable[[RegressorConfig, OnEvent], RegressionData]] = {
    "text": _texts,
    "series": _series,
    "forecast": _forecast,
    "probe": _probe,
}
