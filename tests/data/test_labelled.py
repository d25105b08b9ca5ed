"""Labelled texts as numbers and the held-out rows."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.data.labelled import build_label_list, build_vocabulary, encode_labelled, encode_texts, split_held_out
from rnncli.data.readers import LabelledTexts
from rnncli.data.tokenise import Tokenizer
from rnncli.errors import CorpusError

WORDS = Tokenizer("words", True)


def test_encode_labelled():
    records = LabelledTexts(["Good good film", "", "bad new"], ["pos", "no", "no"], [2, 3, 4], "d.tsv")
    vocab, report = build_vocabulary(["good film", "bad bad film"], WORDS, 1, None)
    assert vocab.tokens == ["<unk>", "bad", "film", "good"]
    assert report.total_tokens == 5
    labels = build_label_list(records.labels)
    assert labels == ["no", "pos"]
    index = {label: i for i, label in enumerate(labels)}
    found = encode_labelled(records, WORDS, vocab, index, None)
    assert found.ids.tolist() == [3, 3, 2, 1, 0]
    assert found.offsets.tolist() == [0, 3, 3, 5]
    assert found.labels.tolist() == [1, 0, 0]
    assert found.n == 3
    assert found.lengths.tolist() == [3, 0, 2]
    with pytest.raises(CorpusError, match=r"d\.tsv:2: label 'pos' .*'no'"):
        encode_labelled(records, WORDS, vocab, {"no": 0}, None)


@settings(deadline=None)
@given(texts=st.lists(st.text("ab ", max_size=12), max_size=6), max_length=st.integers(1, 4))
def test_the_first_tokens_are_kept(texts, max_length):
    vocab, _ = build_vocabulary(texts, WORDS, 1, None, max_length)
    ids, offsets, _ = encode_texts(texts, WORDS, vocab, max_length)
    rows = [[vocab.tokens[i] for i in ids[a:b]] for a, b in pairwise(offsets)]
    assert rows == [text.split()[:max_length] for text in texts]
    assert vocab.counts[1:].sum() == len(ids)


@settings(deadline=None)
@given(
    labels=st.lists(st.sampled_from("aaaabbc"), min_size=2, max_size=80),
    fraction=st.floats(0.01, 0.9),
    seed=st.integers(0, 2**64 - 1),
    stratified=st.booleans(),
)
def test_held_out_rows(labels, fraction, seed, stratified):
    n = len(labels)
    given_labels = labels if stratified else None
    train, valid = split_held_out(n, fraction, seed, given_labels)
    assert sorted([*train, *valid]) == list(range(n))
    assert len(train) > 0
    assert len(valid) > 0
    for a, b in zip((train, valid), split_held_out(n, fraction, seed, given_labels), strict=True):
        assert a.dtype == np.int64
        np.testing.assert_array_equal(a, b)
    if stratified and len(set(labels)) < n:
        # A label that must keep a row for training leaves the rest of its share to the others.
        spared = sum(max(0.0, fraction * labels.count(name) - (labels.count(name) - 1)) for name in set(labels))
        for label in set(labels):
            total = labels.count(label)
            held = sum(labels[i] == label for i in valid)
            assert held < total  # training sees every label
            assert held <= fraction * total + 1 + spared or len(valid) == 1
    elif not stratified:
        assert len(valid) == min(max(1, round(fraction * n)), n - 1)


def test_other_seeds_hold_out_other_rows():
    first, second = (split_held_out(100, 0.2, seed)[1].tolist() for seed in (1, 2))
    assert first != second
    with pytest.raises(CorpusError, match="too few"):
        split_held_out(1, 0.2, 1)
