"""What a run says while it works; the command line turns these into a progress bar, JSON lines or silence."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class PhaseStarted:
    """A part of the work began; `total` counts its `unit`s, 0 when unknown."""

    phase: str
    total: int
    unit: str


@dataclass(frozen=True)
class Progressed:
    """`done` units of the current phase are finished."""

    done: int
    loss: float | None = None
    epoch: int | None = None


@dataclass(frozen=True)
class EpochDone:
    """One pass over the training data ended; `metrics` as they go into history.jsonl."""

    epoch: int
    metrics: dict[str, float]
    best: bool = False


@dataclass(frozen=True)
class CheckpointSaved:
    """Everything needed to go on is on disk."""

    path: str
    epoch: int


@dataclass(frozen=True)
class Note:
    """One sentence the user should know: what was dropped, found, skipped or chosen."""

    text: str


Event = PhaseStarted | Progressed | EpochDone | CheckpointSaved | Note
OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not listen."""
