"""Learning to label whole texts: one label each, or any number of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.config.rnn import TrainingConfig
from rnncli.data.batching import epoch_batches
from rnncli.data.labelled import LabelledIds
from rnncli.errors import ConfigError
from rnncli.results import EvalResult
from rnncli.rnn import metrics
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences
from rnncli.rnn.predict import label_losses, predict_probabilities
from rnncli.rnn.task import Score, Step
from rnncli.rnn.truncation import tail_gradients


def sequences_of(data: LabelledIds) -> Sequences:
    """What a network reads of labelled texts."""
    return Sequences.of_texts(data.ids, data.offsets, data.features)


def evaluate_network(network: Network, data: LabelledIds, labels: list[str]) -> EvalResult:
    """Scores on labelled data, dropout off."""
    probabilities = predict_probabilities(network, sequences_of(data))
    if data.labels.ndim == 2:
        return metrics.evaluate_sets(data.labels > 0, probabilities, labels)
    losses = label_losses(probabilities, data.labels)
    return metrics.evaluate(data.labels, probabilities.argmax(axis=1), losses, labels)


def label_weights(config: TrainingConfig, numbers: NDArray[np.int32], labels: list[str]) -> NDArray[np.float64] | None:
    """The weight of each label, (C,), from the label numbers of the training data; None when all are 1.

    ConfigError for a label that the data lack.
    """
    if config.class_weights is None:
        return None
    if config.class_weights == "balanced":
        counts = np.bincount(numbers, minlength=len(labels))
        return np.asarray(numbers.size / (len(labels) * np.maximum(counts, 1)))
    unknown = sorted(config.class_weights.keys() - set(labels))
    if unknown:
        raise ConfigError(f"training.class_weights: no label {unknown[0]!r}; the labels are {', '.join(labels[:20])}")
    return np.array([config.class_weights.get(label, 1.0) for label in labels])


@dataclass
class RowsTask:
    """A loss for each row, whatever the rows and the targets are; see rnn/task.py."""

    train: Sequences
    targets: NDArray[np.int32] | NDArray[np.float32]  # (n,) or (n, C)
    config: TrainingConfig
    seed: int
    weights: NDArray[np.float64] | None = None  # (n,) of each row
    unit: str = field(default="rows", init=False)

    @property
    def total(self) -> int:
        return self.train.n

    def steps(self, network: Network, epoch: int) -> tuple[int, Iterator[Step]]:
        """Batches of rows of like length."""
        batches = epoch_batches(self.train.lengths, self.config.batch_size, self.seed, epoch)
        return len(batches), self._steps(network, epoch, batches)

    def _steps(self, network: Network, epoch: int, batches: list[NDArray[np.int64]]) -> Iterator[Step]:
        longest = self.config.bptt_steps or max(1, int(self.train.lengths.max()))
        for i, rows in enumerate(batches):
            key = rng.key(self.seed, rng.Stream.DROPOUT, epoch, i)
            gradients, tokens = tail_gradients(
                network, self.train, rows, longest, self.targets, key, self.weights, self.config.label_smoothing
            )
            weight = float(rows.size if self.weights is None else self.weights[rows].sum())
            yield Step(gradients, weight, tokens, rows.size)


@dataclass
class ClassificationTask(RowsTask):
    """Rows with labels, and held-out rows that say which epoch is best."""

    valid: LabelledIds = field(kw_only=True)
    labels: list[str] = field(kw_only=True)

    @classmethod
    def of(
        cls, train: LabelledIds, valid: LabelledIds, labels: list[str], config: TrainingConfig, seed: int
    ) -> "ClassificationTask":
        """With the weights of the config's class_weights."""
        if train.labels.ndim == 2 and config.class_weights is not None:
            raise ConfigError("training.class_weights has no meaning for multilabel; leave it out")
        weights_C = label_weights(config, train.labels, labels)
        weights = None if weights_C is None else weights_C[train.labels]
        return cls(sequences_of(train), train.labels, config, seed, weights, valid=valid, labels=labels)

    def evaluate(self, network: Network) -> Score:
        """Accuracy decides, then the loss; for multilabel micro F1."""
        result = evaluate_network(network, self.valid, self.labels)
        decides = result.accuracy if self.valid.labels.ndim == 1 else result.micro.f1
        scores = {"loss": result.loss, "accuracy": result.accuracy, "macro_f1": result.macro_f1}
        if self.valid.labels.ndim == 2:
            scores["micro_f1"] = result.micro.f1
        return Score(scores, (decides, -result.loss), result)
