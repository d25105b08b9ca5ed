"""What a verb returns: frozen records of plain numbers, ready for JSON (no NaN, no arrays, no paths objects)."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """Base of every result."""

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object; documented key by key in docs/json.md."""
        return asdict(self)


@dataclass(frozen=True)
class EmbeddingsResult(Result):
    """What train-embeddings made."""

    run: str
    words: int  # vocabulary size, V
    dim: int
    tokens: int  # tokens of the corpus inside the vocabulary, one pass
    dropped_types: int  # distinct words below min_count or beyond max_vocab
    dropped_tokens: int
    epochs: int
    loss: float  # mean negative-sampling loss per pair in the last epoch, nats
    train_seconds: float
    words_per_second: float  # corpus tokens (before sub-sampling) per second of training
    vectors_sha256: str
    model_sha256: str


@dataclass(frozen=True)
class TrainResult(Result):
    """What train-classifier made."""

    run: str
    best_epoch: int
    epochs: int
    valid: dict[str, Any]
    test: dict[str, Any] | None
    train_seconds: float
    tokens_per_second: float
    model_sha256: str
    parameters: int
    labels: list[str]
    pretrained_hit_rate: float | None = None  # share of the vocabulary found in embeddings.path


@dataclass(frozen=True)
class ClassScore(Result):
    """Scores of one class."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Averages(Result):
    """Precision, recall and F1 averaged over classes."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class EvalResult(Result):
    """How a classifier does on labelled text."""

    n: int
    loss: float  # mean cross-entropy, nats
    accuracy: float
    macro_f1: float
    macro: Averages
    micro: Averages
    weighted: Averages
    per_class: list[ClassScore]
    labels: list[str]
    confusion: list[list[int]]  # rows: true label, columns: predicted, in the order of labels


@dataclass(frozen=True)
class GradientCheckRow(Result):
    """One parameter of a gradient check."""

    name: str
    shape: list[int]
    checked: int  # coordinates compared
    relative_error: float  # max |analytic - numeric| / max(|analytic|, |numeric|, floor)


@dataclass(frozen=True)
class GradientCheckResult(Result):
    """Analytic gradients against central differences in float64."""

    tolerance: float
    worst: float
    passed: bool
    parameters: list[GradientCheckRow]


@dataclass(frozen=True)
class Neighbor(Result):
    """One near word."""

    word: str
    similarity: float


@dataclass(frozen=True)
class NeighborsResult(Result):
    """The words nearest to one query word by cosine; `found` is false when the query has no vector."""

    query: str
    found: bool
    neighbors: list[Neighbor] = field(default_factory=list)


@dataclass(frozen=True)
class InspectionResult(Result):
    """What inspect-gradients measured; keys are documented in docs/gradients.md."""

    schema_version: int
    input: dict[str, Any]
    architecture: dict[str, Any]
    verdict: dict[str, Any]
    layers: list[dict[str, Any]]
    self_checks: dict[str, float]
