"""Word vectors with their vocabulary and tokenizer, and the tensors and meta data they are stored as."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.errors import ArtifactError


@dataclass(frozen=True, eq=False)
class EmbeddingModel:
    """One vector per word; `outputs_VE` are the context vectors where training made them."""

    vectors_VE: NDArray[np.float32]
    vocab: Vocabulary
    tokenizer: Tokenizer
    outputs_VE: NDArray[np.float32] | None = None

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors_VE.shape[1])

    @cached_property
    def unit_VE(self) -> NDArray[np.float32]:
        """The vectors scaled to length 1; a zero vector stays zero."""
        norms = np.sqrt(np.einsum("ve,ve->v", self.vectors_VE, self.vectors_VE, dtype=np.float64))
        return (self.vectors_VE / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)

    def row_of(self, word: str) -> int | None:
        """The row of a word, or of its lower-case form where the tokenizer folds case; None when it has none."""
        row = self.vocab.id_of(word)
        return self.vocab.id_of(word.lower()) if row is None and self.tokenizer.lowercase else row

    def rows_of(self, words: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Row of each word (0 where it has none) and whether it has one, (n,) each."""
        rows = np.array([self.vocab.ids.get(word, -1) for word in words], np.int64)
        found = rows >= 0
        return np.where(found, rows, 0), found

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Named tensors of the model file."""
        tensors: dict[str, NDArray[Any]] = {
            "vectors": self.vectors_VE,
            "vocabulary": np.frombuffer(self.vocab.to_bytes(), np.uint8),
        }
        if self.outputs_VE is not None:
            tensors["outputs"] = self.outputs_VE
        return tensors

    def to_meta(self) -> dict[str, Any]:
        """What the tensors do not say."""
        return {"tokenizer": self.tokenizer.to_json()}

    @classmethod
    def from_stored(cls, tensors: dict[str, NDArray[Any]], meta: dict[str, Any]) -> "EmbeddingModel":
        """The inverse of to_tensors and to_meta; ArtifactError where they do not fit together."""
        try:
            vocab = Vocabulary.from_bytes(tensors["vocabulary"].tobytes())
            vectors = tensors["vectors"]
            tokenizer = Tokenizer.from_json(meta["tokenizer"])
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"the model file lacks a part of an embeddings model: {error}") from error
        if vectors.ndim != 2 or vectors.shape[0] != len(vocab):
            raise ArtifactError("the vectors do not fit the vocabulary")
        return cls(vectors, vocab, tokenizer, tensors.get("outputs"))
