"""The config of `rnncli inspect-gradients` and `rnncli check-gradients`."""

from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from rnncli.config.base import StrictModel


class InspectConfig(StrictModel):
    """Which sequences are probed and how far back."""

    sequences: PositiveInt = Field(400, title="Probe sequences drawn from the file")
    max_length: PositiveInt = Field(256, title="Longest probe sequence in tokens; longer ones keep their last tokens")
    need: PositiveInt | None = Field(
        None,
        title="The lag the task needs; null takes the 90th percentile of the distance from first token to read-out",
    )
    seed: NonNegativeInt = Field(1, title="Names the draw of the probe sequences")
    text_column: str = Field("text", title="Column or key of the text")
    label_column: str = Field("label", title="Column or key of the label")


class GradientCheckConfig(StrictModel):
    """A recipe of train-classifier whose gradients are compared with central differences."""

    config: Path = Field(title="The train-classifier recipe to check")
    sequences: PositiveInt = Field(3, title="Sequences in the checked batch")
    max_length: PositiveInt = Field(12, title="Longest checked sequence in tokens")
    tolerance: PositiveFloat = Field(1e-6, title="Largest relative error that passes")
