"""The vocabulary: what is kept, in which order, and its stored form."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import tokens as reference

from rnncli.data.vocab import UNKNOWN, Vocabulary
from rnncli.errors import ArtifactError

TOKENS = st.lists(st.sampled_from(["a", "b", "é", "Z", "\U0001f600", "\uffee", "", UNKNOWN, "ab"]), max_size=40)


@settings(deadline=None)
@given(
    tokens=TOKENS, min_count=st.integers(1, 4), max_vocab=st.one_of(st.none(), st.integers(1, 5)), pairs=st.booleans()
)
def test_build_without_unknown(tokens, min_count, max_vocab, pairs):
    counts = Counter(tokens)
    given_counts = (pa.array(list(counts), pa.string()), np.array(list(counts.values()), np.int64)) if pairs else counts
    vocab, report = Vocabulary.build(given_counts, min_count, max_vocab, unknown=False)
    assert vocab.tokens == reference.kept_tokens(counts, min_count, max_vocab)
    assert vocab.counts.tolist() == [counts[t] for t in vocab.tokens]
    assert (report.kept_types, report.dropped_types) == (len(vocab), len(counts) - len(vocab))
    assert report.total_tokens == len(tokens) == report.dropped_tokens + vocab.counts.sum()
    ids = vocab.encode(pa.array(tokens, pa.string()))
    assert ids.dtype == np.int32
    assert ids.tolist() == [vocab.tokens.index(t) if t in vocab.tokens else -1 for t in tokens]


@settings(deadline=None)
@given(tokens=TOKENS, min_count=st.integers(1, 4))
def test_build_with_unknown(tokens, min_count):
    vocab, report = Vocabulary.build(Counter(tokens), min_count, None, unknown=True)
    assert vocab.tokens == [
        UNKNOWN,
        *reference.kept_tokens(Counter(t for t in tokens if t != UNKNOWN), min_count, None),
    ]
    ids = vocab.encode(pa.array(tokens, pa.string()))
    assert np.bincount(ids, minlength=len(vocab)).tolist() == vocab.counts.tolist()
    assert report.dropped_tokens == vocab.counts[0] - tokens.count(UNKNOWN)


def test_order_of_counts_does_not_matter_and_bytes_are_stable():
    forward = Vocabulary.build({"x": 2, "ü": 2, "a": 1}, 1, None, True)[0]
    backward = Vocabulary.build({"a": 1, "ü": 2, "x": 2}, 1, None, True)[0]
    assert forward.to_bytes() == backward.to_bytes()
    assert "ü".encode() in forward.to_bytes()
    back = Vocabulary.from_bytes(forward.to_bytes())
    assert (back.tokens, back.counts.tolist(), back.has_unknown) == (forward.tokens, forward.counts.tolist(), True)
    assert back.id_of("ü") == 2
    assert back.id_of("missing") is None


@pytest.mark.parametrize(
    "stored",
    [b"", b"{}", b"[]", b"\xff", b'{"has_unknown":true,"tokens":["a"],"counts":[1]}',
     b'{"has_unknown":false,"tokens":["a","a"],"counts":[1,1]}', b'{"has_unknown":false,"tokens":["a"],"counts":[]}'],
)  # fmt: skip
def test_damaged_bytes_are_refused(stored):
    with pytest.raises(ArtifactError, match="damaged"):
        Vocabulary.from_bytes(stored)
