"""The counting of the conlleval script, label by label with a state, written from its rules for B, I, E and O."""

from collections import Counter
from collections.abc import Sequence

O = ("O", "")  # noqa: E741


def split(label: str) -> tuple[str, str]:
    tag, _, kind = label.partition("-")
    return tag, kind


def ends(before: tuple[str, str], here: tuple[str, str]) -> bool:
    """Whether a span that `before` is in ends before `here`."""
    if before[0] == "O":
        return False
    return before[1] != here[1] or (before[0] + here[0]) in {"BB", "BO", "IB", "IO", "EE", "EI", "EO"}


def starts(before: tuple[str, str], here: tuple[str, str]) -> bool:
    if here[0] == "O":
        return False
    return before[1] != here[1] or (before[0] + here[0]) in {"BB", "IB", "OB", "OI", "EE", "EI", "OE"}


def spans(row: Sequence[str]) -> list[tuple[int, int, str]]:
    """Start, end (exclusive) and type of every span of one row."""
    found: list[tuple[int, int, str]] = []
    open_at: int | None = None
    last = O
    for i, label in enumerate([*map(split, row), O]):
        if open_at is not None and ends(last, label):
            found.append((open_at, i, last[1]))
            open_at = None
        if starts(last, label):
            open_at = i
        last = label
    return found


def conlleval(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> tuple[Counter, Counter, Counter]:
    """Right, true and predicted spans by type; as the script, without ever making a list of spans."""
    right: Counter[str] = Counter()
    support: Counter[str] = Counter()
    given: Counter[str] = Counter()
    agree, last_t, last_p = False, O, O
    for row_t, row_p in zip(true, predicted, strict=True):
        for t, p in zip([*map(split, row_t), O], [*map(split, row_p), O], strict=True):
            if agree:
                end_t, end_p = ends(last_t, t), ends(last_p, p)
                if end_t and end_p and last_t[1] == last_p[1]:
                    right[last_t[1]] += 1
                    agree = False
                elif end_t != end_p or t[1] != p[1]:
                    agree = False
            if starts(last_t, t) and starts(last_p, p) and t[1] == p[1]:
                agree = True
            support[t[1]] += starts(last_t, t)
            given[p[1]] += starts(last_p, p)
            last_t, last_p = t, p
    return right, support, given
