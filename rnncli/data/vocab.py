"""The vocabulary: which tokens have a number, most frequent first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnncli.errors import ArtifactError

UNKNOWN = "<unk>"


@dataclass(frozen=True)
class VocabularyReport:
    """What a vocabulary keeps of the text it was built from (UNKNOWN itself is no type)."""

    kept_types: int
    dropped_types: int
    dropped_tokens: int
    total_tokens: int


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Tokens by id, with their counts.

    With `has_unknown` id 0 is UNKNOWN, and its count is that of all tokens which became it.
    """

    tokens: list[str]
    counts: NDArray[np.int64]  # (V,)
    has_unknown: bool

    @staticmethod
    def build(
        counts: Mapping[str, int] | tuple[Any, NDArray[np.int64]],
        min_count: int,
        max_vocab: int | None,
        unknown: bool,
    ) -> tuple["Vocabulary", VocabularyReport]:
        """Keep tokens seen at least `min_count` times, at most `max_vocab` of them (UNKNOWN not counted).

        `counts` maps distinct tokens to counts, or is an Arrow string array with its counts (n,). Order: count
        descending, then code points ascending, so it does not depend on the order of the text. With `unknown` the
        token "<unk>" of the text is UNKNOWN too.
        """
        if isinstance(counts, Mapping):
            words = pa.array(list(counts), type=pa.string())
            numbers = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
        else:
            words, numbers = counts[0], np.asarray(counts[1], dtype=np.int64)
        total = int(numbers.sum())
        literal = 0
        if unknown:
            ordinary = pc.not_equal(words, UNKNOWN).to_numpy(zero_copy_only=False)
            literal = int(numbers[~ordinary].sum())
            words, numbers = words.filter(pa.array(ordinary)), numbers[ordinary]
        enough = numbers >= min_count
        table = pa.table({"token": words.filter(pa.array(enough)), "count": numbers[enough]})
        order = pc.sort_indices(table, sort_keys=[("count", "descending"), ("token", "ascending")])
        kept = table.take(order[:max_vocab])
        tokens: list[str] = kept["token"].to_pylist()
        kept_counts = kept["count"].to_numpy().astype(np.int64)
        dropped_tokens = int(numbers.sum()) - int(kept_counts.sum())
        report = VocabularyReport(len(tokens), len(numbers) - len(tokens), dropped_tokens, total)
        if unknown:
            tokens.insert(0, UNKNOWN)
            kept_counts = np.concatenate([np.array([dropped_tokens + literal], dtype=np.int64), kept_counts])
        return Vocabulary(tokens, kept_counts, unknown), report

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token to id."""
        return {token: i for i, token in enumerate(self.tokens)}

    def id_of(self, token: str) -> int | None:
        """The id of a token, None when it has none of its own."""
        return self.ids.get(token)

    def encode(self, tokens: Any) -> NDArray[np.int32]:
        """Ids (n,) of an Arrow string array (n,); what is not in the vocabulary becomes 0 with UNKNOWN, else -1."""
        distinct = tokens.dictionary_encode()
        if isinstance(distinct, pa.ChunkedArray):
            distinct = distinct.combine_chunks()
        missing = 0 if self.has_unknown else -1
        lookup = self.ids.get
        words = distinct.dictionary.to_pylist()
        ids = np.fromiter((lookup(word, missing) for word in words), dtype=np.int32, count=len(words))
        encoded: NDArray[np.int32] = ids[distinct.indices.to_numpy(zero_copy_only=False)]
        return encoded

    def extended(self, tokens: Sequence[str]) -> "Vocabulary":
        """This vocabulary followed by those of `tokens` it lacks, in their order, with count 0."""
        known = set(self.tokens)
        new = [token for token in dict.fromkeys(tokens) if token not in known]
        counts = np.concatenate([self.counts, np.zeros(len(new), dtype=np.int64)])
        return Vocabulary(self.tokens + new, counts, self.has_unknown)

    def to_bytes(self) -> bytes:
        """The vocabulary as compact UTF-8 JSON: equal vocabularies give equal bytes."""
        stored = {"has_unknown": self.has_unknown, "tokens": self.tokens, "counts": self.counts.tolist()}
        return json.dumps(stored, ensure_ascii=False, separators=(",", ":")).encode()

    @staticmethod
    def from_bytes(stored: bytes) -> "Vocabulary":
        """The vocabulary written by `to_bytes`; ArtifactError when it is damaged."""
        try:
            found = json.loads(stored)
            tokens, has_unknown = found["tokens"], found["has_unknown"]
            counts = np.array(found["counts"], dtype=np.int64)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            raise ArtifactError("the stored vocabulary is damaged; train again or restore the file") from None
        sound = (
            isinstance(tokens, list)
            and all(isinstance(token, str) for token in tokens)
            and isinstance(has_unknown, bool)
            and counts.shape == (len(tokens),)
            and len(set(tokens)) == len(tokens)
            and (not has_unknown or tokens[:1] == [UNKNOWN])
        )
        if not sound:
            raise ArtifactError("the stored vocabulary is damaged; train again or restore the file")
        return Vocabulary(tokens, counts, has_unknown)
