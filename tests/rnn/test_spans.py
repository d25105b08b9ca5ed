"""Spans and their scores are those of the conlleval script."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import spans as reference

from rnncli.results import SpanScore
from rnncli.rnn.spans import is_bio, span_scores, spans


def flat(rows: list[list[str]]) -> tuple[list[str], np.ndarray]:
    return [label for row in rows for label in row], np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("B-X I-X O B-Y", [(0, 0, 2, "X"), (0, 3, 4, "Y")]),
        ("I-X I-X O I-X", [(0, 0, 2, "X"), (0, 3, 4, "X")]),  # IOB1: a span starts with I
        ("I-X B-X I-X", [(0, 0, 1, "X"), (0, 1, 3, "X")]),  # IOB1: B parts neighbours
        ("B-X I-Y I-Y", [(0, 0, 1, "X"), (0, 1, 3, "Y")]),  # another type without B
        ("B-X B-X B-X", [(0, 0, 1, "X"), (0, 1, 2, "X"), (0, 2, 3, "X")]),
        ("B-X | I-X", [(0, 0, 1, "X"), (1, 0, 1, "X")]),  # no span goes over the end of a row
        ("| O O | | B-X I-X |", [(3, 0, 2, "X")]),
        ("B-a-b I-a-b I-a", [(0, 0, 2, "a-b"), (0, 2, 3, "a")]),
        ("B I O I", [(0, 0, 2, ""), (0, 3, 4, "")]),
        ("I-X E-X I-X E-X E-X", [(0, 0, 2, "X"), (0, 2, 4, "X"), (0, 4, 5, "X")]),  # IOE2
        ("B-X E-X B-X E-X", [(0, 0, 4, "X")]),  # the script has no rule for E before B
        ("S-X S-X S-Y", [(0, 0, 2, "X"), (0, 2, 3, "Y")]),  # nor any for S
        ("O O", []),
        ("", []),
    ],
)
def test_spans(rows, expected):
    assert spans(*flat([row.split() for row in rows.split("|")])) == expected


def test_scores_worked_by_hand():
    true, offsets = flat([["B-NP", "I-NP", "O", "B-VP"], ["B-NP", "B-NP", "O"], ["O", "B-PP"]])
    predicted, _ = flat([["I-NP", "I-NP", "O", "B-NP"], ["B-NP", "I-NP", "O"], ["B-ADJP", "B-PP"]])
    overall, each = span_scores(true, predicted, offsets)
    # Right: NP of the first row (I- counts as B-), PP. The joined NP of the second row is wrong twice.
    assert overall == SpanScore("overall", pytest.approx(2 / 5), pytest.approx(2 / 5), pytest.approx(2 / 5), 5, 5)
    assert each == [
        SpanScore("ADJP", 0.0, 0.0, 0.0, 0, 1),
        SpanScore("NP", pytest.approx(1 / 3), pytest.approx(1 / 3), pytest.approx(1 / 3), 3, 3),
        SpanScore("PP", 1.0, 1.0, 1.0, 1, 1),
        SpanScore("VP", 0.0, 0.0, 0.0, 1, 0),
    ]


def test_a_type_that_is_wrong_is_wrong():
    overall, each = span_scores(["B-X", "I-X"], ["B-Y", "I-Y"], np.array([0, 2]))
    assert (overall.f1, overall.support, overall.predicted) == (0.0, 1, 1)
    assert [(s.type, s.support, s.predicted) for s in each] == [("X", 1, 0), ("Y", 0, 1)]


def test_nothing_to_score():
    nothing = SpanScore("overall", 0.0, 0.0, 0.0, 0, 0)
    assert span_scores(["O", "O"], ["O", "O"], np.array([0, 2])) == (nothing, [])
    assert span_scores([], [], np.array([0])) == (nothing, [])


@pytest.mark.parametrize("tags", ["BIO", "BIOE"])
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_like_the_script(tags, data):
    labels = ["O", *(f"{tag}-{kind}" for tag in tags.replace("O", "") for kind in ("X", "Y"))]
    pair = st.tuples(st.sampled_from(labels), st.sampled_from(labels)) | st.sampled_from(labels).map(lambda x: (x, x))
    rows = data.draw(st.lists(st.lists(pair, max_size=7), max_size=4))
    true, predicted = ([[p[side] for p in row] for row in rows] for side in (0, 1))
    flat_true, offsets = flat(true)
    flat_predicted, _ = flat(predicted)
    assert spans(flat_true, offsets) == [(r, *span) for r, row in enumerate(true) for span in reference.spans(row)]
    overall, each = span_scores(flat_true, flat_predicted, offsets)
    right, support, given_ = reference.conlleval(true, predicted)
    assert {s.type: (s.support, s.predicted) for s in each} == {
        kind: (support[kind], given_[kind]) for kind in ("X", "Y") if support[kind] or given_[kind]
    }
    for score, hits in [(overall, right.total()), *((s, right[s.type]) for s in each)]:
        precision, recall = hits / max(score.predicted, 1), hits / max(score.support, 1)
        assert (score.precision, score.recall) == (pytest.approx(precision), pytest.approx(recall))
        assert score.f1 == pytest.approx(2 * precision * recall / (precision + recall) if hits else 0.0)
    assert (overall.support, overall.predicted) == (support.total(), given_.total())


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["O", "B-X"], True), (["I-X"], True), (["O", "O"], False), ([], False), (["B-X", "NOUN"], False),
     (["B-X", "S-X"], False), (["B", "O"], False), (["BX"], False)],
)  # fmt: skip
def test_is_bio(labels, expected):
    assert is_bio(labels) is expected
