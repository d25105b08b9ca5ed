"""The configs of `rnncli train-tagger` and `rnncli train-lm`: a loss at every token."""

from pathlib import Path

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from rnncli.config.base import StrictModel
from rnncli.config.rnn import EmbeddingLayerConfig, RecurrentConfig, TrainingConfig
from rnncli.config.text import VocabularyConfig


class TaggedDataConfig(StrictModel):
    """Sentences with a label at each token: one token a line, a blank line between sentences."""

    train: Path = Field(title="Tagged file to learn from")
    valid: Path | None = Field(None, title="Tagged file for early stopping; null holds out valid_fraction of train")
    test: Path | None = Field(None, title="Tagged file measured once, after training")
    valid_fraction: float = Field(0.1, gt=0, lt=1, title="Share of train held out when valid is null")
    token_column: int | str = Field(0, title="Column of the token: from 0, from the end (-1), or a name of the header")
    label_column: int | str = Field(-1, title="Column of the label")
    lowercase: bool = Field(True, title="Fold case before the look-up; features see the token as it is written")
    min_count: PositiveInt = Field(1, title="Tokens seen fewer times are unknown")
    max_vocab: PositiveInt | None = Field(None, title="Keep at most so many tokens, the most frequent; null keeps all")
    features: list[str] = Field(
        ["suffix2", "suffix3", "shape"],
        title="Read beside each token: lower, prefix2, prefix3, suffix2, suffix3, suffix4, shape, bigram, trigram, column:1",
    )
    feature_min_count: PositiveInt = Field(2, title="Feature values seen fewer times are unknown")


class TaggerModelConfig(RecurrentConfig):
    """The recurrent layers; the head reads each of their states."""

    bidirectional: bool = Field(True, title="Read every sentence from both ends; states are put side by side")


class TaggerConfig(StrictModel):
    """The root of a train-tagger recipe."""

    data: TaggedDataConfig = Field(title="Tagged sentences")
    embeddings: EmbeddingLayerConfig = Field(EmbeddingLayerConfig(), title="The embedding layer")
    model: TaggerModelConfig = Field(TaggerModelConfig(), title="The network")
    training: TrainingConfig = Field(TrainingConfig(), title="The learning rule")
    seed: NonNegativeInt = Field(1, title="Names every random draw of the run")
    threads: NonNegativeInt = Field(0, title="Threads, 0 for all cores; does not change the result")


class LanguageDataConfig(VocabularyConfig):
    """Running text; the end of a line is a token too."""

    train: Path = Field(title="Text to learn from")
    valid: Path | None = Field(None, title="Text for early stopping; null holds out the last valid_fraction of train")
    test: Path | None = Field(None, title="Text measured once, after training")
    valid_fraction: float = Field(0.05, gt=0, lt=1, title="Share of train held out when valid is null")
    lowercase: bool = Field(False, title="Fold case before splitting")


class LanguageNetworkConfig(RecurrentConfig):
    """The recurrent layers and the softmax over the vocabulary."""

    tie_weights: bool = Field(
        False, title="The softmax uses the embedding as its weights; embeddings.dim must equal model.hidden_size"
    )


class LanguageTrainingConfig(TrainingConfig):
    """How the weights are learned: truncated BPTT over `batch_size` pieces of the text side by side, states carried on."""

    lr: PositiveFloat = Field(2e-3, title="Learning rate")
    clip_norm: NonNegativeFloat = Field(1.0, title="Largest global gradient norm, 0 for no clipping")
    bptt_steps: PositiveInt = Field(35, title="Steps that gradients go back (truncated BPTT)")
    fresh_share: float = Field(
        0.02, ge=0, lt=1, title="Share of windows that begin without a past, so that the model learns to begin a text"
    )


class LanguageModelConfig(StrictModel):
    """The root of a train-lm recipe."""

    data: LanguageDataConfig = Field(title="Running text")
    embeddings: EmbeddingLayerConfig = Field(EmbeddingLayerConfig(), title="The embedding layer")
    model: LanguageNetworkConfig = Field(LanguageNetworkConfig(), title="The network")
    training: LanguageTrainingConfig = Field(LanguageTrainingConfig(), title="The learning rule")
    seed: NonNegativeInt = Field(1, title="Names every random draw of the run")
    threads: NonNegativeInt = Field(0, title="Threads, 0 for all cores; does not change the result")
