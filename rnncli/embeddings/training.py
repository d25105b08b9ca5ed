"""What every way of training word vectors has in common: epochs, the state after each, and going on from one."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import DivergedError
from rnncli.events import EpochDone, OnEvent, PhaseStarted

Tensors = dict[str, NDArray[np.float32]]


class Lines(NamedTuple):
    """A corpus as ids: line i has the tokens ids[offsets[i] : offsets[i + 1]]; offsets need not begin at 0."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        return int(self.offsets[-1] - self.offsets[0])

    def held_out(self, fraction: float) -> tuple["Lines", "Lines"]:
        """(the lines to train on, the last ones with about `fraction` of the tokens)."""
        if not fraction:
            return self, Lines(self.ids, self.offsets[-1:])
        cut = int(np.searchsorted(self.offsets, self.offsets[-1] - self.tokens * fraction))
        return Lines(self.ids, self.offsets[: cut + 1]), Lines(self.ids, self.offsets[cut:])


@dataclass(frozen=True, eq=False)
class TrainState:
    """Everything needed to go on after `epoch` passes."""

    epoch: int
    tensors: Tensors  # what training changes, by names that the algorithm chooses
    losses: list[float] = field(default_factory=list)  # of each epoch, before its steps
    valid_losses: list[float] = field(default_factory=list)  # after each epoch, on what is held out
    seconds: float = 0.0  # spent training


class Run(Protocol):
    """One algorithm on one corpus."""

    unit: str  # what an epoch counts

    @property
    def total(self) -> int:
        """Units of an epoch."""

    def epoch(self, epoch: int, on_event: OnEvent) -> float:
        """One pass, numbered from 0; returns its mean loss."""

    def valid_loss(self) -> float | None:
        """The mean loss on what is held out; None when nothing is."""

    def tensors(self) -> Tensors:
        """Copies of everything that training changes."""


def train(
    run: Run,
    epochs: int,
    start: TrainState,
    on_event: OnEvent,
    on_epoch: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Train until `epochs` passes are done; `run` was made from the tensors of `start`, which are not needed any more.

    `on_epoch` hears every state; going on from one of them gives the same end. DivergedError when a number is not finite.
    """
    state = start
    on_event(PhaseStarted("training", run.total * epochs, run.unit))
    for epoch in range(state.epoch, epochs):
        started = time.perf_counter()
        losses = [*state.losses, run.epoch(epoch, on_event)]
        state = replace(state, tensors={})  # so that there is one copy at a time
        state = replace(state, epoch=epoch + 1, tensors=run.tensors(), losses=losses)
        state = replace(state, seconds=state.seconds + time.perf_counter() - started)
        if not (math.isfinite(losses[-1]) and all(np.isfinite(tensor).all() for tensor in state.tensors.values())):
            raise DivergedError(f"word vectors became non-finite in epoch {epoch + 1}; lower lr")
        metrics = {"loss": losses[-1]}
        held_out = run.valid_loss()
        if held_out is not None:
            metrics["valid_loss"] = held_out
            state = replace(state, valid_losses=[*state.valid_losses, held_out])
        on_event(EpochDone(state.epoch, metrics))
        on_epoch(state)
    return state
