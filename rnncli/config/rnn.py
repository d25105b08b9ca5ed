"""The config of `rnncli train-classifier`, and the sections that its sisters share."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rnncli.config.base import StrictModel
from rnncli.config.text import VocabularyConfig

DataFormat = Literal["auto", "tsv", "csv", "jsonl", "fasttext"]


class DataConfig(VocabularyConfig):
    """Labelled text: where it lies, how it is read, what a token is."""

    train: Path = Field(title="Labelled file to learn from")
    valid: Path | None = Field(None, title="Labelled file for early stopping; null holds out valid_fraction of train")
    test: Path | None = Field(None, title="Labelled file measured once, after training")
    valid_fraction: float = Field(0.1, gt=0, lt=1, title="Share of train held out when valid is null")
    format: DataFormat = Field(
        "auto", title="auto: by file name and first line; tsv, csv, jsonl, or fastText __label__ lines"
    )
    text_column: str = Field("text", title="Column or key of the text")
    label_column: str = Field("label", title="Column or key of the label")
    label_separator: str | None = Field(
        None, min_length=1, title="multilabel: what stands between the labels of a text, as in `food,price`"
    )
    max_length: PositiveInt | None = Field(None, title="Keep the first so many tokens of a text; null keeps all")
    features: list[str] = Field(
        [], title="Read beside each token: lower, prefix2, prefix3, suffix2, suffix3, suffix4, shape, bigram, trigram"
    )
    feature_min_count: PositiveInt = Field(2, title="Feature values seen fewer times are unknown")


class EmbeddingLayerConfig(StrictModel):
    """The look-up table from token to vector."""

    dim: PositiveInt = Field(100, title="Length of a token's vector, D; ignored when path is set")
    path: Path | None = Field(None, title="Run folder or model file of train-embeddings to start from")
    feature_dim: PositiveInt = Field(16, title="Length of the vector of each of data.features")
    trainable: bool = Field(True, title="Fine-tune the vectors; false keeps them as they are")
    keep_all: bool = Field(True, title="Also keep pretrained words that the training text lacks, for texts to come")


class RecurrentConfig(StrictModel):
    """The recurrent layers."""

    cell: Literal["rnn", "relu", "lstm", "gru"] = Field(
        "rnn", title="rnn: h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h); relu: max(0, .) for tanh; lstm; gru"
    )
    reset_gate: Literal["after", "before"] = Field(
        "after", title="gru: reset gate after the product W_hn h, as torch, or before it, as Cho et al. 2014"
    )
    hidden_size: PositiveInt = Field(128, title="Length of the hidden state of a layer and direction, H")
    layers: PositiveInt = Field(1, title="Recurrent layers, one reading the states of the other")
    init: Literal["orthogonal", "identity", "xavier", "uniform"] = Field(
        "orthogonal", title="Start of W_hh: orthogonal, identity (IRNN), Glorot uniform, or U(-1/sqrt(H), 1/sqrt(H))"
    )
    forget_bias: float = Field(1.0, title="lstm: start of the forget gates' biases; 1 keeps, 0 halves at each step")
    chrono: int | None = Field(
        None,
        ge=3,
        title="lstm, gru: start of the gates' biases for gaps of up to so many steps: ln U(1, N - 1), instead of forget_bias",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, title="Share of units zeroed in training: of embeddings, between layers, and of what is read"
    )

    @model_validator(mode="after")
    def _gates_only(self) -> "RecurrentConfig":
        if self.chrono is not None and self.cell not in ("lstm", "gru"):
            raise ValueError(f"chrono: a {self.cell} cell has no gates; leave it out, or take lstm or gru")
        return self


class ModelConfig(RecurrentConfig):
    """The recurrent layers and what is read off their states."""

    bidirectional: bool = Field(False, title="Read every text from both ends; states are put side by side")
    pooling: Literal["last", "mean", "max", "attention"] = Field(
        "last",
        title="What the head reads of the states: the last one, their mean, maximum, or an attention-weighted mean",
    )
    head: Literal["auto", "binary", "multiclass", "multilabel"] = Field(
        "auto", title="auto: binary for two labels, else multiclass; multilabel: any number of labels for a text"
    )


class TrainingConfig(StrictModel):
    """How the weights are learned."""

    epochs: PositiveInt = Field(10, title="Passes over the training data at most")
    batch_size: PositiveInt = Field(32, title="Sequences per update, B")
    optimizer: Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"] = Field("adam", title="Update rule")
    lr: PositiveFloat = Field(1e-3, title="Learning rate")
    schedule: Literal["constant", "linear", "cosine", "plateau"] = Field(
        "constant", title="How the learning rate falls: not at all, to 1/1000 linearly or as a cosine, or on a plateau"
    )
    warmup: float = Field(0.0, ge=0, lt=1, title="Share of all updates over which the learning rate rises from 0")
    plateau_patience: PositiveInt = Field(1, title="plateau: epochs without a better validation score before it falls")
    plateau_factor: float = Field(0.5, gt=0, lt=1, title="plateau: what the learning rate is multiplied by")
    momentum: float = Field(0.0, ge=0, lt=1, title="Momentum of sgd and rmsprop")
    weight_decay: NonNegativeFloat = Field(
        0.0, title="Of the dense weights: added to the gradient (L2); adamw shrinks the weights themselves"
    )
    clip_norm: NonNegativeFloat = Field(5.0, title="Largest global gradient norm, 0 for no clipping")
    clip_value: NonNegativeFloat = Field(
        0.0, title="Largest element of a gradient, 0 for no clipping; before clip_norm"
    )
    accumulate: PositiveInt = Field(1, title="Batches whose gradients make one update")
    class_weights: Literal["balanced"] | dict[str, PositiveFloat] | None = Field(
        None,
        title="Weight of each label in the loss: balanced (rows / (labels * rows of the label)), or a map; null: 1",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, title="Share of a target that is spread over all labels")
    bptt_steps: PositiveInt | None = Field(
        None, title="Steps that gradients go back (truncated BPTT); null: to the beginning"
    )
    bptt_stride: PositiveInt | None = Field(
        None, title="Losses at each step: new steps in a window, the rest of bptt_steps is read again; null: all new"
    )
    average_best: PositiveInt = Field(
        1, title="Keep so many of the best epochs; the model is the mean of their weights"
    )
    patience: NonNegativeInt = Field(3, title="Epochs without a better validation score before stopping, 0 never stops")


class ClassifierConfig(StrictModel):
    """The root of a train-classifier recipe."""

    data: DataConfig = Field(title="Labelled text")
    embeddings: EmbeddingLayerConfig = Field(EmbeddingLayerConfig(), title="The embedding layer")
    model: ModelConfig = Field(ModelConfig(), title="The network")
    training: TrainingConfig = Field(TrainingConfig(), title="The learning rule")
    seed: NonNegativeInt = Field(1, title="Names every random draw of the run")
    threads: NonNegativeInt = Field(0, title="Threads, 0 for all cores; does not change the result")
