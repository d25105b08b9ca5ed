"""Character n-grams of words: the rows they share, and vectors of words that were never seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli.config.embeddings import SubwordsConfig
from rnncli.kernels.subwords import part_table
from rnncli.kernels.word2vec_draws import Subwords

BEGIN, END = "<", ">"  # marks of a word's ends, as fastText
Floats = NDArray[np.float32]


def subword_table(words: Sequence[str], config: SubwordsConfig) -> Subwords:
    """The parts of every word: its own row v, and V + hash of each of its n-grams."""
    encoded = [f"{BEGIN}{word}{END}".encode(errors="replace") for word in words]
    offsets = np.append(0, np.cumsum([len(word) for word in encoded])).astype(np.int64)
    text = np.frombuffer(b"".join(encoded), np.uint8)
    starts = np.zeros(len(words) + 1, np.int64)
    shape = (text, offsets, config.minn, config.maxn, config.bucket)
    part_table(*shape, starts, np.zeros(0, np.int32))
    rows = np.empty(int(starts[-1]), np.int32)
    part_table(*shape, starts, rows)
    return Subwords(rows, starts)


def composed(inputs_RE: Floats, table: Subwords) -> Floats:
    """The vectors (V, E) of the words of a table: the mean of their parts; inputs (V + bucket, E)."""
    words, dim = len(table.starts) - 1, inputs_RE.shape[1]
    vectors = np.empty((words, dim), np.float32)
    for first in range(0, words, 4096):  # in blocks: the parts of all words are many
        last = min(first + 4096, words)
        starts = table.starts[first : last + 1]
        sums = np.add.reduceat(inputs_RE[table.rows[starts[0] : starts[-1]]], starts[:-1] - starts[0], axis=0)
        vectors[first:last] = sums / np.diff(starts)[:, None].astype(np.float32)
    return vectors


@dataclass(frozen=True, eq=False)
class Ngrams:
    """The trained rows of n-grams, and how words are cut into them."""

    config: SubwordsConfig
    vectors_BE: Floats  # (bucket, E)

    def of_unseen(self, word: str) -> Floats | None:
        """The mean of the n-grams (E,) of a word without a row; None when it is too short to have any."""
        rows = subword_table([word], self.config).rows[1:] - 1  # the table of one word: V = 1
        return self.vectors_BE[rows].mean(axis=0) if len(rows) else None

    def word_rows(self, words: Sequence[str], vectors_VE: Floats) -> Floats:
        """The words' own rows (V, E): what composed() adds the n-grams to."""
        table = subword_table(words, self.config)
        parts = np.diff(table.starts)[:, None].astype(np.float32)
        others = composed(np.concatenate([np.zeros_like(vectors_VE), self.vectors_BE]), table)
        rows: Floats = (vectors_VE - others) * parts
        return rows
