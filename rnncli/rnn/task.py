"""What a network is trained for: the steps of an epoch and the score that decides which epoch is best."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from rnncli.results import Result
from rnncli.rnn.network import Gradients, Network


@dataclass(frozen=True)
class Step:
    """One batch: the gradients of its mean loss."""

    gradients: Gradients
    weight: float  # of its loss terms together, in a mean over several batches
    tokens: int
    done: int  # units of progress


@dataclass(frozen=True)
class Score:
    """How a network does on held-out data."""

    metrics: dict[str, float]  # go into history.jsonl as valid_...
    rank: tuple[float, ...]  # the higher the better, compared one after the other
    result: Result


class Task(Protocol):
    """Data and how they are learned. An epoch's steps are a pure function of the network and the epoch's number."""

    @property
    def unit(self) -> str:
        """Of progress."""
        ...

    @property
    def total(self) -> int:
        """Units of one epoch."""
        ...

    def steps(self, network: Network, epoch: int) -> tuple[int, Iterator[Step]]:
        """How many batches epoch `epoch` (from 1) has, and each of them, computed with the network as it then is."""
        ...

    def evaluate(self, network: Network) -> Score:
        """The score on the validation data, dropout off."""
        ...
