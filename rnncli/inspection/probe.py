"""What is inspected: a network, probe sequences and what is known of its training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.rnn import TrainingConfig
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences


@dataclass(frozen=True)
class Probe:
    """`data` are rows that lie one after the other; `targets` by row, or by token where there is a loss at each."""

    network: Network
    data: Sequences
    targets: NDArray[Any]
    task: str  # classifier, regressor, tagger, language-model
    trained: bool = True  # False: first values, nothing learned yet
    training: TrainingConfig | None = None
    training_bptt: tuple[int, int] | None = None  # (steps, stride) of truncated BPTT
    bptt_at_ends: bool = False  # truncation counts from the end of each row instead of in windows
    train_embedding: bool = True
    init: str | None = None  # how W_hh began, where a recipe says
    need: int | None = None  # the lag that the task needs
    need_source: str = "user"
    prior_loss: float | None = None  # of knowing nothing but how often each label occurs
    words: Callable[[NDArray[np.int32]], list[str]] | None = None
    labels: list[str] | None = None
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def loss_unit(self) -> str:
        """Of the loss."""
        return "squared units of the target" if self.network.spec.head == "regression" else "nats"
