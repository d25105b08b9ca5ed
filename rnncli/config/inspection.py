"""The config of `rnncli inspect-gradients` and `rnncli check-gradients`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from rnncli.config.base import StrictModel
from rnncli.config.rnn import ModelConfig, TrainingConfig


class InspectConfig(StrictModel):
    """Which sequences are probed, how closely, and how far back."""

    kind: Literal["classifier", "regressor", "tagger", "language-model"] | None = Field(
        None, title="What a recipe trains; null: what its keys and the form of its data fit; a model says it itself"
    )
    level: Literal["quick", "standard", "deep"] = Field(
        "standard", title="quick: one loss a sequence; standard: all losses; deep: all exponents and long products too"
    )
    sequences: PositiveInt | None = Field(
        None, title="Probe sequences drawn from the file; null: 200, or 16 where a sequence has many losses"
    )
    max_length: PositiveInt = Field(256, title="Longest probe sequence in tokens; longer ones keep their last tokens")
    need: PositiveInt | None = Field(
        None, title="The lag the task needs; null: from the data (length of texts, annotated spans, mutual information)"
    )
    max_lag: PositiveInt | None = Field(None, title="Longest lag that is measured; null: as far as sequences go")
    as_trained: bool = Field(False, title="Count only pairs of steps inside one window of training.bptt_steps")
    seed: NonNegativeInt = Field(1, title="Names the draw of the probe sequences")
    text_column: str | None = Field(None, title="Column or key of the text; null: as the recipe says")
    label_column: str | None = Field(None, title="Column or key of the label; null: as the recipe says")
    probe: Literal["recall", "adding", "copy"] | None = Field(
        None, title="Inspect a fresh network of `model` on a task whose need is known, instead of a file"
    )
    length: PositiveInt = Field(100, title="probe: steps that have to be bridged")
    embedding_dim: PositiveInt = Field(32, title="probe: length of a token's vector")
    model: ModelConfig = Field(ModelConfig(), title="probe: the network")
    training: TrainingConfig = Field(TrainingConfig(), title="probe: the learning rule")


class GradientCheckConfig(StrictModel):
    """A recipe of train-classifier whose gradients are compared with central differences."""

    config: Path = Field(title="The train-classifier recipe to check")
    sequences: PositiveInt = Field(3, title="Sequences in the checked batch")
    max_length: PositiveInt = Field(12, title="Longest checked sequence in tokens")
    tolerance: PositiveFloat = Field(1e-6, title="Largest relative error that passes")
