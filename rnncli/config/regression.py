"""The config of `rnncli train-regressor`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from rnncli.config.base import StrictModel
from rnncli.config.rnn import DataFormat, EmbeddingLayerConfig, ModelConfig, TrainingConfig
from rnncli.config.text import VocabularyConfig

# Keys that only some kinds of input have a use for.
ONLY_FOR = {
    "valid": ("text", "series"),
    "test": ("text", "series"),
    "valid_fraction": ("text", "series"),
    "format": ("text",),
    "text_column": ("text",),
    "label_column": ("text", "series"),
    "max_length": ("text",),
    "features": ("text",),
    "feature_min_count": ("text",),
    "tokenizer": ("text",),
    "lowercase": ("text",),
    "min_count": ("text",),
    "max_vocab": ("text",),
    "series_column": ("series",),
    "channels": ("forecast",),
    "targets": ("forecast",),
    "window": ("forecast",),
    "horizon": ("forecast",),
    "season": ("forecast",),
    "anchor": ("forecast",),
    "split": ("forecast",),
    "length": ("probe",),
    "train_rows": ("probe",),
    "valid_rows": ("probe",),
    "test_rows": ("probe",),
    "standardise": ("text", "series"),
}


class RegressionDataConfig(VocabularyConfig):
    """What is read and which numbers are wanted."""

    input: Literal["text", "series", "forecast", "probe"] = Field(
        "text",
        title="text: labelled text; series: series with numbers; forecast: a table over time; probe: the adding problem",
    )
    train: Path | None = Field(None, title="File to learn from; a forecast's table is split; none for a probe")
    valid: Path | None = Field(None, title="text, series: file for early stopping; null holds out valid_fraction")
    test: Path | None = Field(None, title="text, series: file measured once, after training")
    valid_fraction: float = Field(0.1, gt=0, lt=1, title="text, series: share of train held out when valid is null")
    format: DataFormat = Field("auto", title="text: auto, tsv, csv, jsonl or fasttext")
    text_column: str = Field("text", title="text: column or key of the text")
    label_column: str = Field("label", title="text, series: column or key of the number")
    max_length: PositiveInt | None = Field(None, title="text: keep the first so many tokens; null keeps all")
    features: list[str] = Field([], title="text: read beside each token, as for train-classifier")
    feature_min_count: PositiveInt = Field(2, title="text: feature values seen fewer times are unknown")
    series_column: str = Field("series", title="series: column or key of the series")
    channels: list[str] | None = Field(
        None, min_length=1, title="forecast: columns that are read; null: all that hold numbers"
    )
    targets: list[str] | None = Field(
        None, min_length=1, title="forecast: columns that are foretold; null: all channels"
    )
    window: PositiveInt = Field(96, title="forecast: steps that are read")
    horizon: PositiveInt = Field(24, title="forecast: steps that are foretold at once")
    season: PositiveInt = Field(24, title="forecast: steps after which things repeat, for the naive seasonal guess")
    anchor: Literal["none", "last", "season"] = Field(
        "last",
        title="forecast: what is foretold is the change from the last value, or from a season ago; windows are read"
        " relative to their last value",
    )
    split: tuple[float, float, float] = Field(
        (0.6, 0.2, 0.2), title="forecast: training, validation and test part, as shares or numbers of rows"
    )
    length: PositiveInt = Field(100, ge=2, title="probe: steps of a row")
    train_rows: PositiveInt = Field(20_000, title="probe: rows to learn from")
    valid_rows: PositiveInt = Field(1000, title="probe: rows for early stopping")
    test_rows: PositiveInt = Field(2000, title="probe: rows measured once")
    standardise: bool = Field(
        True, title="text, series: work on (x - mean) / standard deviation of the training part; a forecast always does"
    )

    @model_validator(mode="after")
    def _together(self) -> "RegressionDataConfig":
        if (self.train is None) != (self.input == "probe"):
            raise ValueError(
                f"train: {'has no meaning for a probe' if self.train else 'required key is missing (a file)'}"
            )
        for key, kinds in ONLY_FOR.items():
            if self.input not in kinds and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: has no meaning for input {self.input}; leave it out")
        shares = sum(self.split) <= 1.0 + 1e-9
        if min(self.split) <= 0 or not (shares or all(part.is_integer() for part in self.split)):
            raise ValueError("split: three shares above 0 that add up to 1 or less, or three numbers of rows")
        if self.anchor == "season" and self.window < self.season:
            raise ValueError(
                "window: must be season or more with anchor season, which needs the values of a season ago"
            )
        return self


class RegressorConfig(StrictModel):
    """The root of a train-regressor recipe."""

    data: RegressionDataConfig = Field(title="What is read and which numbers are wanted")
    embeddings: EmbeddingLayerConfig = Field(EmbeddingLayerConfig(), title="The embedding layer, of texts")
    model: ModelConfig = Field(ModelConfig(), title="The network")
    training: TrainingConfig = Field(TrainingConfig(), title="The learning rule")
    seed: NonNegativeInt = Field(1, title="Names every random draw of the run")
    threads: NonNegativeInt = Field(0, title="Threads, 0 for all cores; does not change the result")
