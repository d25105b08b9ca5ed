"""Learning numbers from texts or series, and a trained regressor."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.data.features import FeatureTables
from rnncli.data.forecast import naive_forecasts
from rnncli.data.labelled import encode_texts
from rnncli.data.numeric import NumericRows, Standardiser
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.results import RegressionResult
from rnncli.rnn.classification import RowsTask
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences
from rnncli.rnn.predict import predict_logits
from rnncli.rnn.regression_metrics import regression_scores
from rnncli.rnn.stored import (
    Tensors,
    complete,
    network_meta,
    network_tensors,
    stored_features,
    stored_network,
    stored_vocabulary,
    text_tensors,
)
from rnncli.rnn.task import Score

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class NumberRows:
    """What is read and the numbers that are wanted, in the scale that the network works in."""

    sequences: Sequences
    targets: NDArray[np.float32]  # (n, O)
    guess: Array | None = None  # (n, O) what the targets are relative to

    @classmethod
    def of_series(cls, rows: NumericRows, guess: Array | None = None) -> "NumberRows":
        """Series or windows of one."""
        return cls(Sequences(rows.starts, rows.lengths, values=rows.values), rows.targets, guess)


def evaluate_regression(network: Network, data: NumberRows, scale: Standardiser | None) -> RegressionResult:
    """Errors of every output, in the scale of the network, or in that of the data where `scale` is given."""
    predicted, true = predict_logits(network, data.sequences), data.targets.astype(np.float64)
    if data.guess is not None:
        predicted, true = predicted + data.guess, true + data.guess
    if scale is not None:
        predicted, true = scale.invert(predicted), scale.invert(true)
    return regression_scores(true, predicted)


@dataclass
class RegressionTask(RowsTask):
    """Rows with numbers to learn; see rnn/task.py."""

    valid: NumberRows = field(kw_only=True)

    def evaluate(self, network: Network) -> Score:
        """The lowest mean squared error is the best."""
        result = evaluate_regression(network, self.valid, None)
        return Score({"loss": result.mse, "mae": result.mae}, (-result.mse,), result)


@dataclass(frozen=True)
class Regressor:
    """Everything that predicting numbers needs. `input` is text, series, forecast or probe."""

    network: Network
    input: str
    target_scale: Standardiser | None  # outputs of the network -> numbers
    input_scale: Standardiser | None  # of each channel of a series
    channels: list[str]  # names of the columns that are read, of a forecaster
    targets: list[str]  # names of the columns that are foretold
    window: int = 0
    horizon: int = 0
    season: int = 0
    anchor: str = "none"  # what a forecaster's numbers are relative to: none, last or season
    vocab: Vocabulary | None = None
    tokenizer: Tokenizer | None = None
    max_length: int | None = None
    features: FeatureTables | None = None
    series_column: str = "series"  # of files with labels

    kind = "regressor"

    def encode_texts(self, texts: Sequence[str]) -> Sequences:
        """Texts -> what the network reads."""
        assert self.vocab is not None
        assert self.tokenizer is not None
        return Sequences.of_texts(*encode_texts(texts, self.tokenizer, self.vocab, self.max_length, self.features))

    def encode_series(self, series: Sequence[Array]) -> Sequences:
        """Series (T, I) each -> what the network reads."""
        lengths = np.array([len(one) for one in series], np.int64)
        parts = [np.asarray(one, np.float64).reshape(-1, self.network.spec.inputs) for one in series]
        values = np.concatenate(parts) if parts else np.empty((0, self.network.spec.inputs))
        if self.input_scale is not None:
            values = self.input_scale.apply(values)
        return Sequences(np.cumsum(lengths) - lengths, lengths, values=values.astype(np.float32))

    def guess(self, values: Array, origins: NDArray[np.int64]) -> Array | None:
        """What is added to the outputs (n, O) of the rows from each origin on, in the scale of the network."""
        if self.anchor == "none":
            return None
        columns = np.array([self.channels.index(name) for name in self.targets], np.int64)
        name = {"last": "persistence", "season": "seasonal"}[self.anchor]
        return naive_forecasts(values, columns, self.horizon, self.season, origins)[name]

    def foretell(self, table: Array) -> Array:
        """The steps (horizon, targets) that follow a table (rows, channels) of at least `window` rows."""
        assert self.input_scale is not None
        assert self.target_scale is not None
        values = self.input_scale.apply(table)
        end = np.array([len(values)])
        guess = self.guess(values, end)
        window = values[-self.window :] - (0.0 if guess is None else values[-1])
        rows = Sequences(np.zeros(1, np.int64), np.array([self.window]), values=window.astype(np.float32))
        outputs = predict_logits(self.network, rows) + (0.0 if guess is None else guess)
        return np.asarray(self.target_scale.invert(outputs)).reshape(self.horizon, -1)

    def predict(self, data: Sequences) -> NDArray[np.float64]:
        """Numbers (n, O) in the scale of the data."""
        outputs = predict_logits(self.network, data)
        return outputs if self.target_scale is None else self.target_scale.invert(outputs)

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Named tensors of the model file."""
        texts = {} if self.vocab is None else text_tensors(self.vocab, self.features)
        return network_tensors(self.network) | texts

    def to_meta(self) -> dict[str, Any]:
        """What the tensors do not say."""
        return network_meta(self.network) | {
            "input": self.input,
            "target_scale": None if self.target_scale is None else self.target_scale.to_json(),
            "input_scale": None if self.input_scale is None else self.input_scale.to_json(),
            "channels": self.channels,
            "targets": self.targets,
            "window": self.window,
            "horizon": self.horizon,
            "season": self.season,
            "anchor": self.anchor,
            "tokenizer": None if self.tokenizer is None else self.tokenizer.to_json(),
            "max_length": self.max_length,
            "series_column": self.series_column,
        }

    @classmethod
    @complete
    def from_stored(cls, tensors: Tensors, meta: dict[str, Any]) -> "Regressor":
        """The inverse of to_tensors and to_meta; ArtifactError where they do not fit together."""

        def scale(name: str) -> Standardiser | None:
            return None if meta[name] is None else Standardiser.from_json(meta[name])

        text = meta["input"] == "text"
        return cls(
            stored_network(tensors, meta), str(meta["input"]), scale("target_scale"), scale("input_scale"),
            list(meta["channels"]), list(meta["targets"]), int(meta["window"]), int(meta["horizon"]),
            int(meta["season"]), str(meta["anchor"]),
            stored_vocabulary(tensors) if text else None, Tokenizer.from_json(meta["tokenizer"]) if text else None,
            meta["max_length"], stored_features(tensors) if text else None,
            str(meta.get("series_column", "series")),
        )  # fmt: skip
