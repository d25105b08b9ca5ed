"""A trained classifier of texts: network, vocabulary, tokenizer and labels, and the form it is stored in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.data.features import FeatureTables
from rnncli.data.labelled import encode_texts
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences
from rnncli.rnn.predict import predict_probabilities
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


@dataclass(frozen=True)
class Classifier:
    """Everything that predict needs."""

    network: Network
    vocab: Vocabulary
    tokenizer: Tokenizer
    labels: list[str]
    max_length: int | None = None
    features: FeatureTables | None = None
    separator: str | None = None  # between the labels of a text, where it may have several

    kind = "classifier"

    @property
    def label_index(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.labels)}

    def encode(self, texts: Sequence[str]) -> Sequences:
        """Texts -> what the network reads."""
        return Sequences.of_texts(*encode_texts(texts, self.tokenizer, self.vocab, self.max_length, self.features))

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Texts -> probabilities (n, classes)."""
        return predict_probabilities(self.network, self.encode(texts))

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Named tensors of the model file."""
        return network_tensors(self.network) | text_tensors(self.vocab, self.features)

    def to_meta(self) -> dict[str, Any]:
        """What the tensors do not say."""
        return network_meta(self.network) | {
            "tokenizer": self.tokenizer.to_json(),
            "labels": self.labels,
            "max_length": self.max_length,
            "separator": self.separator,
        }

    @classmethod
    @complete
    def from_stored(cls, tensors: Tensors, meta: dict[str, Any]) -> "Classifier":
        """The inverse of to_tensors and to_meta; ArtifactError where they do not fit together."""
        return cls(
            stored_network(tensors, meta), stored_vocabulary(tensors), Tokenizer.from_json(meta["tokenizer"]),
            list(meta["labels"]), meta["max_length"], stored_features(tensors), meta.get("separator"),
        )  # fmt: skip
