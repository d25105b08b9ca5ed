"""Further ids of a token beside its word id: affixes, shape, the tokens before it, further columns of a tagged file.

Every feature has a vocabulary of its own; all of them are rows of one table, one vocabulary after the other.
An n-gram is written as its tokens with a newline between, "" standing for what would lie before the row: no
tokenizer and no reader gives a token that holds a newline.
"""

import difflib
import itertools
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnncli.data.vocab import Vocabulary
from rnncli.errors import ArtifactError, ConfigError, CorpusError

VERSION = "features-1"  # raise it whenever a value changes: model files carry it
SHAPE_LENGTH = 8
BETWEEN, BEFORE_ROW = "\n", ""
COLUMN = "column:"

Ids = NDArray[np.int64]


def shape_of(token: str) -> str:
    """How a token is written: A, a and 0 for runs of capitals, other letters and digits, and what else stands in it once.

    McDonald's is AaAa'a and 1,234 is 0,0; at most 8 characters are kept.
    """
    return "".join(kind for kind, _ in itertools.groupby(map(_kind, token)))[:SHAPE_LENGTH]


def _kind(char: str) -> str:
    if char.isupper() or char.istitle():
        return "A"
    if char.isalpha() or unicodedata.category(char)[0] == "M":
        return "a"
    return "0" if char.isnumeric() else char


OF_TOKEN: dict[str, Callable[[str], str]] = {
    "prefix2": lambda token: token.lower()[:2],
    "prefix3": lambda token: token.lower()[:3],
    "suffix2": lambda token: token.lower()[-2:],
    "suffix3": lambda token: token.lower()[-3:],
    "suffix4": lambda token: token.lower()[-4:],
    "shape": shape_of,
    "lower": str.lower,
}
NGRAMS = {"bigram": 2, "trigram": 3}
KNOWN = (*OF_TOKEN, *NGRAMS, f"{COLUMN}NAME")


def check_features(names: Sequence[str]) -> None:
    """Raise ConfigError, naming what is known, for a name that is no feature or comes twice."""
    for i, name in enumerate(names):
        if name not in OF_TOKEN and name not in NGRAMS and not (name.startswith(COLUMN) and name != COLUMN):
            close = difflib.get_close_matches(name.lower(), KNOWN, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"there is no feature {name!r}; known are {', '.join(KNOWN)}{hint}")
        if name in names[:i]:
            raise ConfigError(f"the feature {name!r} is named twice; name it once")


def columns_of(names: Sequence[str]) -> list[str]:
    """The further columns that features need, each once: what to ask of `read_tagged`."""
    return [name.removeprefix(COLUMN) for name in names if name.startswith(COLUMN)]


@dataclass(frozen=True, eq=False)
class FeatureTables:
    """The K features of a model and what each may be; id 0 of every vocabulary is UNKNOWN."""

    names: tuple[str, ...]
    vocabularies: list[Vocabulary]

    @property
    def rows(self) -> int:
        """Rows of the one table that holds all vocabularies, one after the other."""
        return sum(len(vocabulary) for vocabulary in self.vocabularies)

    @property
    def bases(self) -> Ids:
        """The first row of each feature, (K,)."""
        sizes = [len(vocabulary) for vocabulary in self.vocabularies]
        return np.cumsum([0, *sizes], dtype=np.int64)[:-1]

    @classmethod
    def build(
        cls,
        names: Sequence[str],
        tokens: Any,
        offsets: Ids,
        columns: Mapping[str, Sequence[str]],
        min_count: int,
        max_vocab: int | None,
    ) -> "FeatureTables":
        """The features `names` of a text, each with its values seen at least `min_count` times, at most `max_vocab`.

        tokens is a sequence of str or an Arrow string array (N,), as written; row i holds offsets[i]:offsets[i+1] of
        them, offsets (n + 1,); columns[c] (N,) is what "column:c" is. Raises ConfigError for an unknown feature,
        CorpusError for a column that is not there.
        """
        check_features(names)
        ids, distinct = _distinct(tokens)
        vocabularies = []
        for name in names:
            if name in NGRAMS:
                vocabularies.append(_ngram_vocabulary(ids, distinct, offsets, NGRAMS[name], min_count, max_vocab))
                continue
            if name in OF_TOKEN:
                counts_of_tokens = np.bincount(ids, minlength=len(distinct))
                value_ids, values = _distinct(_values(name, distinct))
                counts = np.bincount(value_ids, weights=counts_of_tokens, minlength=len(values)).astype(np.int64)
            else:
                value_ids, values = _distinct(_column(name, columns))
                counts = np.bincount(value_ids, minlength=len(values))
            vocabularies.append(Vocabulary.build((values, counts), min_count, max_vocab, unknown=True)[0])
        return cls(tuple(names), vocabularies)

    def encode(self, tokens: Any, offsets: Ids, columns: Mapping[str, Sequence[str]]) -> NDArray[np.int32]:
        """Rows of the table (N, K) for N tokens; arguments and errors as those of `build`."""
        ids, distinct = _distinct(tokens)
        rows_NK = np.empty((len(ids), len(self.names)), dtype=np.int32)
        for k, (name, vocabulary, base) in enumerate(zip(self.names, self.vocabularies, self.bases, strict=True)):
            if name in NGRAMS:
                found = self._lookups[name].encode(ids, distinct, offsets)
            elif name in OF_TOKEN:
                found = vocabulary.encode(pa.array(_values(name, distinct), type=pa.string()))[ids]
            else:
                found = vocabulary.encode(_as_arrow(_column(name, columns)))
            np.add(found, base, out=rows_NK[:, k], casting="unsafe")
        return rows_NK

    @cached_property
    def _lookups(self) -> dict[str, "_NgramLookup"]:
        pairs = zip(self.names, self.vocabularies, strict=True)
        return {name: _NgramLookup(vocabulary, NGRAMS[name]) for name, vocabulary in pairs if name in NGRAMS}

    def to_bytes(self) -> bytes:
        """The tables as compact UTF-8 JSON: equal tables give equal bytes."""
        head = json.dumps({"version": VERSION, "names": self.names}, ensure_ascii=False, separators=(",", ":"))
        tables = b",".join(vocabulary.to_bytes() for vocabulary in self.vocabularies)
        return head.encode().removesuffix(b"}") + b',"vocabularies":[' + tables + b"]}"

    @staticmethod
    def from_bytes(stored: bytes) -> "FeatureTables":
        """The tables written by `to_bytes`; ArtifactError when they are damaged or of another release."""
        damaged = ArtifactError("the stored features are damaged; train again or restore the file")
        try:
            found = json.loads(stored)
            version, names, tables = found["version"], found["names"], found["vocabularies"]
            if version == VERSION:
                check_features(names)
                vocabularies = [Vocabulary.from_bytes(json.dumps(table).encode()) for table in tables]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ConfigError, ArtifactError):
            raise damaged from None
        if version != VERSION:
            raise ArtifactError(f"features of version {version!r} are unknown to this release of rnncli; update rnncli")
        if len(names) != len(vocabularies) or not all(table.has_unknown for table in vocabularies):
            raise damaged
        for name, vocabulary in zip(names, vocabularies, strict=True):
            between = NGRAMS.get(name, 1) - 1
            if between and any(token.count(BETWEEN) != between for token in vocabulary.tokens[1:]):
                raise damaged
        return FeatureTables(tuple(names), vocabularies)


def _as_arrow(values: Any) -> Any:
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    return values if isinstance(values, pa.Array) else pa.array(values, type=pa.string())


def _distinct(values: Any) -> tuple[Ids, Any]:
    """Numbers (N,) of values (N,), and the distinct values by number (Arrow strings)."""
    encoded = _as_arrow(values).dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def _values(name: str, distinct: Any) -> list[str]:
    return [OF_TOKEN[name](token) for token in distinct.to_pylist()]


def _column(name: str, columns: Mapping[str, Sequence[str]]) -> Sequence[str]:
    column = name.removeprefix(COLUMN)
    if column not in columns:
        there = ", ".join(repr(known) for known in columns) or "none"
        raise CorpusError(f"the feature {name!r} needs the column {column!r} beside each token; columns given: {there}")
    return columns[column]


def _before(ids: Ids, offsets: Ids, mark: int) -> Ids:
    """The id before each one (N,) in its row, `mark` at the start of a row."""
    before = np.empty_like(ids)
    before[1:] = ids[:-1]
    before[offsets[:-1][np.diff(offsets) > 0]] = mark
    return before


def _windows(ids: Ids, offsets: Ids, n: int, mark: int) -> list[Ids]:
    """n arrays (N,): the ids n - 1 places back, ..., one place back, and here."""
    windows = [ids]
    for _ in range(n - 1):
        windows.insert(0, _before(windows[0], offsets, mark))
    return windows


def _ngram_vocabulary(
    ids: Ids, distinct: Any, offsets: Ids, n: int, min_count: int, max_vocab: int | None
) -> Vocabulary:
    """The n-grams of a text by numbers: a context and the token after it are one number, which is the next context."""
    mark, base = len(distinct), len(distinct) + 1
    first, *others = _windows(ids, offsets, n, mark)
    context, keys_of_stage = first, []
    for token in others:
        stage = pa.array(context * base + token).dictionary_encode()
        context = stage.indices.to_numpy().astype(np.int64)
        keys_of_stage.append(stage.dictionary.to_numpy())
    counts = np.bincount(context, minlength=len(keys_of_stage[-1]))
    frequent = np.flatnonzero(counts >= min_count)  # most n-grams are rare and never become text
    words = pa.concat_arrays([distinct.cast(pa.large_string()), pa.array([BEFORE_ROW], type=pa.large_string())])
    parts: list[Any] = []
    place = frequent
    for keys in reversed(keys_of_stage):
        parts.insert(0, words.take(pa.array(keys[place] % base)))
        place = keys[place] // base
    parts.insert(0, words.take(pa.array(place)))
    text = pc.binary_join_element_wise(*parts, pa.scalar(BETWEEN, pa.large_string()))
    vocabulary, _ = Vocabulary.build((text, counts[frequent]), min_count, max_vocab, unknown=True)
    kept = vocabulary.counts.copy()
    kept[0] += len(ids) - counts[frequent].sum()
    return Vocabulary(vocabulary.tokens, kept, True)


class _NgramLookup:
    """Ids of n-grams, found as `_ngram_vocabulary` numbers them, by number and not by text."""

    def __init__(self, vocabulary: Vocabulary, n: int) -> None:
        self.n = n
        parts = [token.split(BETWEEN) for token in vocabulary.tokens[1:]]
        words = dict.fromkeys(itertools.chain([BEFORE_ROW], *parts))
        self.ids = {word: i for i, word in enumerate(words)}
        self.stages: list[Ids] = []  # the keys of each stage, ascending; a key's number is its place
        table_Vn = np.array([[self.ids[word] for word in part] for part in parts], dtype=np.int64).reshape(-1, n)
        context = table_Vn[:, 0]
        for j in range(1, n):
            keys, context = np.unique(context * len(self.ids) + table_Vn[:, j], return_inverse=True)
            self.stages.append(keys)
        self.row_of_key = np.zeros(len(parts) + 1, dtype=np.int32)  # the last one, for what is not there, stays 0
        self.row_of_key[context] = np.arange(1, len(parts) + 1)

    def encode(self, ids: Ids, distinct: Any, offsets: Ids) -> NDArray[np.int32]:
        """Vocabulary ids (N,) of the n-grams that end at each token; 0 for what the vocabulary does not have."""
        lookup = self.ids.get
        known = np.fromiter((lookup(word, -1) for word in distinct.to_pylist()), dtype=np.int64, count=len(distinct))
        first, *others = _windows(known[ids], offsets, self.n, self.ids[BEFORE_ROW])
        context = first
        for token, keys in zip(others, self.stages, strict=True):
            key = np.where((context < 0) | (token < 0), -1, context * len(self.ids) + token)
            if len(key) * 8 < len(keys):  # a line alone: a hash of all keys would take far longer than the search
                place = np.searchsorted(keys, key)
                context = np.where(keys[np.minimum(place, len(keys) - 1)] == key, place, -1)
            else:
                found = pc.index_in(pa.array(key), value_set=pa.array(keys))
                context = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return self.row_of_key[context]
