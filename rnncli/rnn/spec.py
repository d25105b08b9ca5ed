"""What decides the shapes and the equations of a network."""

from dataclasses import dataclass

from rnncli.config.rnn import ModelConfig, RecurrentConfig
from rnncli.rnn.heads import HEADS, choose_head
from rnncli.rnn.stack import StackSpec

WIDE = 2048  # outputs from which a softmax at every token is computed in tiles of the vocabulary


@dataclass(frozen=True)
class NetworkSpec:
    """The sizes and choices that make a network."""

    cell: str
    head: str
    vocabulary: int  # V; 0 where numbers are read
    embedding_dim: int  # E
    hidden_size: int  # H
    classes: int
    dropout: float = 0.0
    layers: int = 1
    bidirectional: bool = False
    pooling: str = "last"  # "each": no pooling, the head reads the state of every token
    inputs: int = 0  # I, where numbers are read instead of tokens
    features: int = 0  # K further ids of each token
    feature_rows: int = 0  # W, rows of their table
    feature_dim: int = 0  # F
    tied: bool = False  # the head's weight is the embedding

    @classmethod
    def of(
        cls,
        model: RecurrentConfig,
        vocabulary: int,
        embedding_dim: int,
        classes: int,
        head: str,
        **more: int | bool | str,
    ) -> "NetworkSpec":
        """The network that a config describes, for so many tokens and outputs; `more` are further fields by name."""
        cell = "gru_before" if (model.cell, model.reset_gate) == ("gru", "before") else model.cell
        return cls(
            cell, choose_head(head, classes), vocabulary, embedding_dim, model.hidden_size, classes,
            model.dropout, model.layers, **more,  # type: ignore[arg-type]
        )  # fmt: skip

    @classmethod
    def of_classifier(
        cls, model: ModelConfig, vocabulary: int, embedding_dim: int, classes: int, **more: int | bool | str
    ) -> "NetworkSpec":
        """The same with what `model` says of directions, pooling and head."""
        ways = {"bidirectional": model.bidirectional, "pooling": model.pooling}
        return cls.of(model, vocabulary, embedding_dim, classes, model.head, **(ways | more))

    @property
    def input_size(self) -> int:
        """Width of what the first layer reads."""
        return self.inputs or self.embedding_dim + self.features * self.feature_dim

    @property
    def stack(self) -> StackSpec:
        return StackSpec(self.cell, self.input_size, self.hidden_size, self.layers, self.bidirectional)

    @property
    def outputs(self) -> int:
        return HEADS[self.head].outputs(self.classes)

    @property
    def each(self) -> bool:
        """Whether there is a loss at every token."""
        return self.pooling == "each"

    @property
    def wide(self) -> bool:
        """Whether the softmax is over so many words that it is computed in tiles (kernels/wide_softmax.py)."""
        return self.tied or (self.each and self.outputs > WIDE)

    @property
    def tables(self) -> dict[str, tuple[int, int]]:
        """Shapes of the arrays that lie beside the dense parameters: a row for each token, feature or word."""
        shapes = {}
        if not self.inputs:
            shapes["embedding"] = (self.vocabulary, self.embedding_dim)
        if self.features:
            shapes["features"] = (self.feature_rows, self.feature_dim)
        if self.wide and not self.tied:
            shapes["output"] = (self.outputs, self.stack.output_size)
        return shapes
