"""Word vectors with their vocabulary and tokenizer, and the tensors and meta data they are stored as."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.embeddings import SubwordsConfig
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.subwords import Ngrams
from rnncli.errors import ArtifactError
from rnncli.kernels.neighbours import SMALLEST_NORM, inverse_norms


@dataclass(frozen=True, eq=False)
class EmbeddingModel:
    """One vector per word; `outputs_VE` are the context vectors where training made them."""

    vectors_VE: NDArray[np.float32]
    vocab: Vocabulary
    tokenizer: Tokenizer
    outputs_VE: NDArray[np.float32] | None = None
    ngrams: Ngrams | None = None  # give vectors to words that have no row

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors_VE.shape[1])

    @cached_property
    def scales_V(self) -> NDArray[np.float32]:
        """1 / length of each vector, (V,); 0 where the vector is zero."""
        scales = np.empty(len(self.vectors_VE), np.float32)
        inverse_norms(scales, self.contiguous_VE)
        return scales

    @cached_property
    def contiguous_VE(self) -> NDArray[np.float32]:
        """The vectors as kernels want them: float32, row after row; a copy only where they are not."""
        return np.ascontiguousarray(self.vectors_VE, np.float32)

    def query_vectors(self, words: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The vectors (n, E) of words that are asked for, scaled to length 1, and whether each has one, (n,).

        A zero vector stays zero, and so does that of a word which has none.
        """
        rows = [self.row_of(word) for word in words]
        found = np.array([row is not None for row in rows], np.bool_)
        vectors_NE = np.zeros((len(rows), self.dim), np.float64)
        vectors_NE[found] = self.vectors_VE[[row for row in rows if row is not None]]
        if self.ngrams is not None:
            for i in np.flatnonzero(~found).tolist():
                word = words[i].lower() if self.tokenizer.lowercase else words[i]
                if word and (vector_E := self.ngrams.of_unseen(word)) is not None:
                    vectors_NE[i], found[i] = vector_E, True
        lengths = np.sqrt(np.einsum("ne,ne->n", vectors_NE, vectors_NE))
        return (vectors_NE / np.where(lengths > SMALLEST_NORM, lengths, np.inf)[:, None]).astype(np.float32), found

    def most_frequent(self, n: int) -> "EmbeddingModel":
        """The model of the first `n` words alone (0: all of them), sharing their vectors."""
        if n <= 0 or n >= len(self.vocab):
            return self
        vocab = Vocabulary(self.vocab.tokens[:n], self.vocab.counts[:n], self.vocab.has_unknown)
        return EmbeddingModel(self.vectors_VE[:n], vocab, self.tokenizer)

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
        if self.ngrams is not None:
            tensors["ngrams"] = self.ngrams.vectors_BE
        return tensors

    def to_meta(self) -> dict[str, Any]:
        """What the tensors do not say."""
        subwords = {} if self.ngrams is None else {"subwords": self.ngrams.config.model_dump()}
        return {"tokenizer": self.tokenizer.to_json(), **subwords}

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
        ngrams = None
        if "subwords" in meta:
            config = SubwordsConfig.model_validate(meta["subwords"])
            if "ngrams" not in tensors or tensors["ngrams"].shape != (config.bucket, vectors.shape[1]):
                raise ArtifactError("the n-grams do not fit the vectors")
            ngrams = Ngrams(config, tensors["ngrams"])
        return cls(vectors, vocab, tokenizer, tensors.get("outputs"), ngrams)
