"""Learning to label every token of a sentence, and a trained tagger."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnncli import rng
from rnncli.config.rnn import TrainingConfig
from rnncli.data.batching import epoch_batches
from rnncli.data.features import FeatureTables, columns_of
from rnncli.data.vocab import Vocabulary
from rnncli.results import SpanScore, TaggingResult
from rnncli.rnn import metrics
from rnncli.rnn.classification import label_weights
from rnncli.rnn.network import Network
from rnncli.rnn.packing import PackedBatch, Sequences, pack
from rnncli.rnn.predict import prediction_batches
from rnncli.rnn.spans import is_bio, span_scores
from rnncli.rnn.stored import (
    Tensors,
    complete,
    network_meta,
    network_tensors,
    stored_features,
    stored_network,
    stored_vocabulary,
    text_tensors,
)
from rnncli.rnn.task import Score, Step
from rnncli.rnn.training import combined
from rnncli.rnn.truncation import window_steps


@dataclass(frozen=True, eq=False)
class TaggedIds:
    """Sentences as numbers, and the label number of each token, -1 for one that the model does not know."""

    sequences: Sequences
    labels: NDArray[np.int32]  # (tokens,)

    @property
    def offsets(self) -> NDArray[np.int64]:
        return np.append(self.sequences.starts, self.labels.size)


def tag(network: Network, data: Sequences) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """The likeliest label of every token and the log of its probability, both (tokens,)."""
    n = int(data.lengths.sum())
    labels, log_p = np.empty(n, np.int32), np.empty(n)
    for rows in prediction_batches(data.lengths):
        batch = pack(data, rows)
        out = network.forward(batch, keep=False)
        best = out.logits_MC.argmax(axis=1).astype(np.int32)
        labels[batch.position_N] = best
        log_p[batch.position_N] = -network.losses_of(out, batch, best)
    return labels, log_p


def evaluate_tagger(network: Network, data: TaggedIds, labels: list[str]) -> TaggingResult:
    """Token accuracy, scores of each label, and for BIO labels the span F1 as conlleval counts it; dropout off.

    A token whose label the model does not know is counted as wrong, and its loss left out.
    """
    n = data.labels.size
    predicted, losses = np.empty(n, np.int32), np.empty(n)
    for rows in prediction_batches(data.sequences.lengths):
        batch = pack(data.sequences, rows)
        out = network.forward(batch, keep=False)
        predicted[batch.position_N] = out.logits_MC.argmax(axis=1)
        losses[batch.position_N] = network.losses_of(out, batch, np.maximum(data.labels[batch.position_N], 0))
    known = data.labels >= 0
    tokens = metrics.evaluate(data.labels[known], predicted[known].astype(np.int64), losses[known], labels)
    overall: SpanScore | None = None
    per_type: list[SpanScore] = []
    if is_bio(labels):
        names = [*labels, "O"]  # -1 is no chunk
        true_names, given_names = [names[i] for i in data.labels], [names[i] for i in predicted]
        overall, per_type = span_scores(true_names, given_names, data.offsets)
    return TaggingResult(
        sentences=data.sequences.n,
        tokens=n,
        loss=tokens.loss,
        accuracy=float((predicted == data.labels).mean()) if n else 0.0,
        macro_f1=tokens.macro_f1,
        spans=overall,
        per_span=per_type,
        per_label=tokens.per_class,
    )


@dataclass
class TaggingTask:
    """Sentences with a loss at each token; see rnn/task.py."""

    train: TaggedIds
    valid: TaggedIds
    labels: list[str]
    config: TrainingConfig
    seed: int
    unit: str = field(default="sentences", init=False)

    def __post_init__(self) -> None:
        self.weights_C = label_weights(self.config, self.train.labels, self.labels)

    @property
    def total(self) -> int:
        return self.train.sequences.n

    def steps(self, network: Network, epoch: int) -> tuple[int, Iterator[Step]]:
        """Batches of sentences of like length."""
        batches = epoch_batches(self.train.sequences.lengths, self.config.batch_size, self.seed, epoch)
        return len(batches), self._steps(network, epoch, batches)

    def _steps(self, network: Network, epoch: int, batches: list[NDArray[np.int64]]) -> Iterator[Step]:
        data = self.train.sequences
        for i, rows in enumerate(batches):
            some = Sequences(data.starts[rows], data.lengths[rows], data.ids, data.features)
            longest = max(1, int(some.lengths.max()))
            back = min(self.config.bptt_steps or longest, longest)
            stride = min(self.config.bptt_stride or back, back)
            parts = list(
                window_steps(network, some, back, stride, self._term, self._key(epoch, i), self.config.label_smoothing)
            )
            gradients = combined([(part.gradients, part.weight) for part in parts])
            tokens = int(some.lengths.sum())
            yield Step(gradients, sum(part.weight for part in parts), tokens, rows.size)

    def _key(self, epoch: int, batch: int) -> Any:
        key = rng.key(self.seed, rng.Stream.DROPOUT, epoch, batch)
        return lambda window: key if window == 0 else rng.key(int(key), rng.Stream.DROPOUT, window)

    def _term(self, batch: PackedBatch) -> tuple[NDArray[np.int32], NDArray[np.float64] | None]:
        targets = self.train.labels[batch.position_N]
        return targets, None if self.weights_C is None else self.weights_C[targets]

    def evaluate(self, network: Network) -> Score:
        """Span F1 decides for BIO labels, token accuracy for others; then the loss."""
        result = evaluate_tagger(network, self.valid, self.labels)
        scores = {"loss": result.loss, "accuracy": result.accuracy}
        decides = result.accuracy
        if result.spans is not None:
            scores["span_f1"] = decides = result.spans.f1
        return Score(scores, (decides, -result.loss), result)


@dataclass(frozen=True)
class Tagger:
    """Everything that tagging needs."""

    network: Network
    vocab: Vocabulary
    labels: list[str]
    lowercase: bool
    features: FeatureTables
    token_column: str = "0"

    kind = "tagger"

    @property
    def columns(self) -> list[str]:
        """The columns beside the token that features read."""
        return columns_of(self.features.names)

    def encode(
        self, tokens: Sequence[str], offsets: NDArray[np.int64], columns: Mapping[str, Sequence[str]]
    ) -> Sequences:
        """Sentences -> what the network reads; tokens and columns flat, offsets (n + 1,)."""
        words = fold(tokens, self.lowercase)
        found = self.features.encode(tokens, offsets, columns) if self.features.names else None
        return Sequences.of_texts(self.vocab.encode(words), offsets, found)

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Named tensors of the model file."""
        return network_tensors(self.network) | text_tensors(self.vocab, self.features)

    def to_meta(self) -> dict[str, Any]:
        """What the tensors do not say."""
        return network_meta(self.network) | {
            "labels": self.labels,
            "lowercase": self.lowercase,
            "token_column": self.token_column,
        }

    @classmethod
    @complete
    def from_stored(cls, tensors: Tensors, meta: dict[str, Any]) -> "Tagger":
        """The inverse of to_tensors and to_meta; ArtifactError where they do not fit together."""
        features = stored_features(tensors) or FeatureTables((), [])
        return cls(
            stored_network(tensors, meta), stored_vocabulary(tensors), list(meta["labels"]),
            bool(meta["lowercase"]), features, str(meta["token_column"]),
        )  # fmt: skip


def fold(tokens: Sequence[str], lowercase: bool) -> Any:
    """Tokens as an Arrow array, case folded where asked for."""
    words = pa.array(tokens, type=pa.string())
    return pc.utf8_lower(words) if lowercase else words
