"""A trained classifier: network, vocabulary, tokenizer and labels, and the tensors and meta data it is stored as.

Tensors are named and laid out as torch does: weight_ih_l0 (gates H, I), weight_hh_l0 (gates H, H), bias_ih_l0 and
bias_hh_l0, ..._l0_reverse, ..._l1, so that torch.nn.RNN, LSTM and GRU load the tensors under "rnn." as they are.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.data.labelled import encode_texts
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.errors import ArtifactError
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.predict import predict_probabilities
from rnncli.rnn.torch_layout import take_torch_tensors, torch_tensors


@dataclass(frozen=True)
class Classifier:
    """Everything that predict needs."""

    network: Network
    vocab: Vocabulary
    tokenizer: Tokenizer
    labels: list[str]
    max_length: int | None = None

    @property
    def label_index(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.labels)}

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Texts -> flat ids and offsets (n + 1,)."""
        return encode_texts(texts, self.tokenizer, self.vocab, self.max_length)

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Texts -> probabilities (n, classes)."""
        return predict_probabilities(self.network, *self.encode(texts))

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Named tensors of the model file."""
        dense = self.network.dense
        tensors = torch_tensors(dense)
        tensors["embedding.weight"] = self.network.embedding_VE
        tensors["vocabulary"] = np.frombuffer(self.vocab.to_bytes(), np.uint8)
        return tensors

    def to_meta(self) -> dict[str, Any]:
        """What the tensors do not say."""
        return {
            "network": asdict(self.network.spec),
            "tokenizer": self.tokenizer.to_json(),
            "labels": self.labels,
            "max_length": self.max_length,
        }

    @classmethod
    def from_stored(cls, tensors: dict[str, NDArray[Any]], meta: dict[str, Any]) -> "Classifier":
        """The inverse of to_tensors and to_meta; ArtifactError where they do not fit together."""
        try:
            network = Network(NetworkSpec(**meta["network"]), tensors["embedding.weight"].dtype)
            take_torch_tensors(network.dense, tensors)
            vocab = Vocabulary.from_bytes(tensors["vocabulary"].tobytes())
            if tensors["embedding.weight"].shape != (len(vocab), network.spec.embedding_dim):
                raise ArtifactError("the embedding does not fit the vocabulary")
            network.embedding_VE = np.ascontiguousarray(tensors["embedding.weight"])
            return cls(network, vocab, Tokenizer.from_json(meta["tokenizer"]), list(meta["labels"]), meta["max_length"])
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"the model file lacks a part of a classifier: {error}") from error
