"""Labelled texts as numbers: token ids row after row, label numbers, and the held-out rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from rnncli import rng
from rnncli.data.features import FeatureTables
from rnncli.data.readers import LabelledTexts
from rnncli.data.tokenise import Tokenised, Tokenizer
from rnncli.data.vocab import Vocabulary, VocabularyReport
from rnncli.errors import CorpusError


@dataclass(frozen=True, eq=False)
class LabelledIds:
    """n rows: row i has the token ids ids[offsets[i]:offsets[i+1]] and the label number labels[i]."""

    ids: NDArray[np.int32]  # (tokens,)
    offsets: NDArray[np.int64]  # (n + 1,)
    labels: NDArray[Any]  # (n,) int32; (n, C) float32 of 0 and 1 where a text may have several
    features: NDArray[np.int32] | None = None  # (tokens, K) further ids of each token

    @property
    def n(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, (n,)."""
        return np.diff(self.offsets)


def build_label_list(labels: Sequence[str], separator: str | None = None) -> list[str]:
    """The distinct labels in code point order; a label's number is its place here."""
    return sorted({label for text in labels for label in split_labels(text, separator)})


def split_labels(text: str, separator: str | None) -> list[str]:
    """The labels of one text: itself, or what stands between separators."""
    if separator is None:
        return [text]
    return [label for part in text.split(separator) if (label := part.strip())]


def build_vocabulary(
    texts: Sequence[str], tokenizer: Tokenizer, min_count: int, max_vocab: int | None, max_length: int | None = None
) -> tuple[Vocabulary, VocabularyReport]:
    """The vocabulary (with UNKNOWN) of texts cut to `max_length` tokens: what is never seen gets no vector."""
    cut = _first_tokens(tokenizer.split(texts), max_length)
    distinct = cut.tokens.dictionary_encode()
    counts = np.bincount(distinct.indices.to_numpy(zero_copy_only=False), minlength=len(distinct.dictionary))
    return Vocabulary.build((distinct.dictionary, counts.astype(np.int64)), min_count, max_vocab, unknown=True)


def encode_texts(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    vocab: Vocabulary,
    max_length: int | None = None,
    features: FeatureTables | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32] | None]:
    """Token ids of texts, flat (tokens,), their offsets (n + 1,), and the ids of their features (tokens, K).

    A text keeps its first `max_length` tokens.
    """
    cut = _first_tokens(tokenizer.split(texts), max_length)
    found = features.encode(cut.tokens, cut.offsets, {}) if features is not None and features.names else None
    return vocab.encode(cut.tokens), cut.offsets, found


def build_features(
    names: Sequence[str], texts: Sequence[str], tokenizer: Tokenizer, min_count: int, max_length: int | None = None
) -> FeatureTables:
    """The values of the named features in texts cut to `max_length` tokens."""
    cut = _first_tokens(tokenizer.split(texts), max_length)
    return FeatureTables.build(tuple(names), cut.tokens, cut.offsets, {}, min_count, None)


def encode_labelled(
    records: LabelledTexts,
    tokenizer: Tokenizer,
    vocab: Vocabulary,
    label_index: dict[str, int],
    max_length: int | None = None,
    *,
    features: FeatureTables | None = None,
    separator: str | None = None,
) -> LabelledIds:
    """Records as numbers; CorpusError, with path and line, for a label that is not in `label_index`."""
    sets = [split_labels(label, separator) for label in records.labels]
    for line, labels in zip(records.lines, sets, strict=True):
        for label in labels:
            if label not in label_index:
                known = ", ".join(repr(name) for name in list(label_index)[:20])
                more = ", ..." if len(label_index) > 20 else ""
                raise CorpusError(
                    f"{records.path}:{line}: label {label!r} is not among those of the model: {known}{more}"
                )
    if separator is None:
        numbers: NDArray[Any] = np.array([label_index[label] for (label,) in sets], dtype=np.int32)
    else:
        numbers = np.zeros((len(sets), len(label_index)), np.float32)
        for row, labels in enumerate(sets):
            numbers[row, [label_index[label] for label in labels]] = 1
    ids, offsets, found = encode_texts(records.texts, tokenizer, vocab, max_length, features)
    return LabelledIds(ids, offsets, numbers, found)


def _first_tokens(cut: Tokenised, max_length: int | None) -> Tokenised:
    lengths = np.diff(cut.offsets)
    if max_length is None or not len(lengths) or int(lengths.max()) <= max_length:
        return cut
    places = np.arange(cut.offsets[-1], dtype=np.int64) - np.repeat(cut.offsets[:-1], lengths)
    offsets = np.zeros_like(cut.offsets)
    np.cumsum(np.minimum(lengths, max_length), out=offsets[1:])
    return Tokenised(pc.filter(cut.tokens, places < max_length), offsets)


def split_held_out(
    n: int, fraction: float, seed: int, labels: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows 0 .. n-1 cut into (train, held out), each ascending; a pure function of its arguments.

    About fraction * n rows are held out, at least one of each part. With `labels` (n,) every label gives its share
    (largest remainders), and keeps at least one row for training. Raises CorpusError when n < 2.
    """
    if n < 2:
        raise CorpusError(f"{n} labelled text is too few to hold some out; give data.valid or more texts")
    order = rng.permutation(rng.key(seed, rng.Stream.SPLIT), n)
    _, classes = np.unique(np.zeros(n) if labels is None else np.asarray(labels), return_inverse=True)
    counts = np.bincount(classes)
    wanted = min(max(1, round(fraction * n)), n - 1)
    share = fraction * counts
    taken = np.minimum(np.floor(share).astype(np.int64), counts - 1)
    while taken.sum() < wanted and (taken < counts - 1).any():
        owed = np.where(taken < counts - 1, share - taken, -np.inf)
        taken[np.argmax(owed)] += 1  # the first of equals
    ranks = np.empty(n, dtype=np.int64)  # place of a row among those of its class, in random order
    by_class = order[np.argsort(classes[order], kind="stable")]
    ranks[by_class] = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    held_out = ranks < taken[classes]
    if not held_out.any():  # every label occurs once
        held_out[order[0]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
