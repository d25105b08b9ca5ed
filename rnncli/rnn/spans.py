"""Spans of labels like B-NP, I-NP, O and their scores, counted as the conlleval script of CoNLL-2000 counts them.

A label is a tag, what stands before the first "-", and a type, the rest. Between two labels of a row a span may end
and a span may start; which, says a table of the two tags and whether the types differ (Tjong Kim Sang and Veenstra
1999, "Representing text chunks", as the script has it). So I-X starts a span after O and after another type, and in
labels with E- a span ends where E is followed by I, E or O; S is no tag of the script, and E before B ends nothing.
The bracket formats of the script ("[", "]" and ".") are not known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.results import SpanScore

Ids = NDArray[np.int64]

OUTSIDE, BEGIN, INSIDE, END, OTHER = range(5)
TAGS = {"O": OUTSIDE, "B": BEGIN, "I": INSIDE, "E": END}
STARTS = np.zeros((5, 5), dtype=np.bool_)  # by the tag before and the tag here, types equal
STARTS[[OUTSIDE, BEGIN, INSIDE], BEGIN] = True
STARTS[[OUTSIDE, END], INSIDE] = True
STARTS[[OUTSIDE, END], END] = True
ENDS = np.zeros((5, 5), dtype=np.bool_)  # by the tag here and the tag after
ENDS[[BEGIN, INSIDE], BEGIN] = True
ENDS[[BEGIN, INSIDE, END], OUTSIDE] = True
ENDS[END, [END, INSIDE]] = True


class Span(NamedTuple):
    """The tokens start to end - 1 of a row belong together."""

    row: int
    start: int  # in the row, from 0
    end: int
    type: str


@dataclass(frozen=True)
class _Chunks:
    """Spans by flat place: where they start (S,), where they end (S,), exclusive, and the numbers of their types (S,)."""

    starts: Ids
    ends: Ids
    types: Ids


def is_bio(labels: Sequence[str]) -> bool:
    """Whether labels are O or begin with B- or I-, and not all are O."""
    distinct = set(labels) - {"O"}
    return bool(distinct) and all(label.startswith(("B-", "I-")) for label in distinct)


def spans(labels: Sequence[str], offsets: Ids) -> list[Span]:
    """The spans of labels (N,) in rows offsets[i]:offsets[i+1], offsets (n + 1,), in their order."""
    types: dict[str, int] = {}
    found = _chunks(labels, offsets, types)
    row_of = np.searchsorted(offsets, found.starts, side="right") - 1
    first = offsets[row_of]
    names = list(types)
    places = zip(row_of.tolist(), (found.starts - first).tolist(), (found.ends - first).tolist(), strict=True)
    return [Span(*place, names[kind]) for place, kind in zip(places, found.types.tolist(), strict=True)]


def span_scores(true: Sequence[str], predicted: Sequence[str], offsets: Ids) -> tuple[SpanScore, list[SpanScore]]:
    """Scores of all spans (their type is "overall") and of each type that is true or predicted, in code point order.

    true and predicted are labels (N,) in rows offsets[i]:offsets[i+1]. A predicted span is right when a true one has
    its start, its end and its type; what nothing can be divided by scores 0.
    """
    types: dict[str, int] = {}
    wanted, given = _chunks(true, offsets, types), _chunks(predicted, offsets, types)
    end_at, type_at = np.full((2, len(true)), -1, dtype=np.int64)
    end_at[wanted.starts], type_at[wanted.starts] = wanted.ends, wanted.types
    right = (end_at[given.starts] == given.ends) & (type_at[given.starts] == given.types)
    counts_3C = [np.bincount(kinds, minlength=len(types)) for kinds in (given.types[right], wanted.types, given.types)]
    each = [
        _score(name, *(int(counts[types[name]]) for counts in counts_3C))
        for name in sorted(types)
        if any(counts[types[name]] for counts in counts_3C)
    ]
    return _score("overall", int(right.sum()), len(wanted.starts), len(given.starts)), each


def span_lengths(labels: Sequence[str], offsets: Ids) -> Ids:
    """Tokens of every span of a labelling."""
    found = _chunks(labels, offsets, {})
    return np.asarray(found.ends - found.starts)


def _score(name: str, right: int, support: int, predicted: int) -> SpanScore:
    precision = right / predicted if predicted else 0.0
    recall = right / support if support else 0.0
    f1 = 2.0 * right / (support + predicted) if right else 0.0
    return SpanScore(name, precision, recall, f1, support, predicted)


def _chunks(labels: Sequence[str], offsets: Ids, types: dict[str, int]) -> _Chunks:
    """Spans of labels; new types get the next numbers in `types`."""
    number: dict[str, int] = {}
    of_label: list[tuple[int, int]] = []  # tag and type by label number
    for label in dict.fromkeys(labels):
        tag, _, kind = label.partition("-")
        number[label] = len(number)
        of_label.append((TAGS.get(tag, OTHER), types.setdefault(kind, len(types))))
    if not number:
        nothing = np.zeros(0, dtype=np.int64)
        return _Chunks(nothing, nothing, nothing)
    nothing_there = types.setdefault("", len(types))  # the type of O, which lies before and after every row
    ids = np.fromiter((number[label] for label in labels), dtype=np.int64, count=len(labels))
    tag, kind = np.array(of_label, dtype=np.int64).T[:, ids]
    rows = np.diff(offsets) > 0
    first, last = offsets[:-1][rows], offsets[1:][rows] - 1
    before_tag, before_kind = np.roll(tag, 1), np.roll(kind, 1)
    after_tag, after_kind = np.roll(tag, -1), np.roll(kind, -1)
    before_tag[first], before_kind[first] = OUTSIDE, nothing_there
    after_tag[last], after_kind[last] = OUTSIDE, nothing_there
    start = STARTS[before_tag, tag] | ((tag != OUTSIDE) & (before_kind != kind))
    end = ENDS[tag, after_tag] | ((tag != OUTSIDE) & (after_kind != kind))
    end[last] = True
    starts, ends = np.flatnonzero(start), np.flatnonzero(end) + 1
    return _Chunks(starts, ends[np.searchsorted(ends, starts, side="right")], kind[starts])
