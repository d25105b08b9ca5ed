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
class InitReport(Result):
    """What became of the vectors that training began with."""

    kept: int  # old vectors, all of which have a row in the result
    added: int  # words of the corpus that had none
    moved: int  # old vectors that training changed
    mean_cosine: float  # of each moved vector with what it was


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
    loss: float  # of the last epoch: mean per pair, nats (cbow: per centre word; glove: f(X) error^2 per cell)
    train_seconds: float
    words_per_second: float  # corpus tokens (before sub-sampling) per second of training
    vectors_sha256: str
    model_sha256: str
    valid_loss: float | None = None  # of what valid_fraction holds out, after the last epoch
    init_from: InitReport | None = None


@dataclass(frozen=True)
class TrainResult(Result):
    """What a command that trains a recurrent network made."""

    run: str
    best_epoch: int
    epochs: int
    valid: dict[str, Any]
    test: dict[str, Any] | None
    train_seconds: float
    tokens_per_second: float
    model_sha256: str
    parameters: int
    labels: list[str]  # of classifiers and taggers
    pretrained_hit_rate: float | None = None  # share of the training tokens that have a vector in embeddings.path


@dataclass(frozen=True)
class ClassScore(Result):
    """Scores of one class."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class SpanScore(Result):
    """Scores of the spans of one type, or of all ("overall"); a span is right as a whole or not at all."""

    type: str
    precision: float
    recall: float
    f1: float
    support: int  # spans that are there
    predicted: int  # spans that were predicted


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
class TaggingResult(Result):
    """How a tagger does on labelled sentences."""

    sentences: int
    tokens: int
    loss: float  # mean cross-entropy of a token, nats
    accuracy: float  # share of tokens whose label is right
    macro_f1: float  # over labels
    spans: SpanScore | None  # all spans together, for BIO labels; as conlleval counts them
    per_span: list[SpanScore]  # by type
    per_label: list[ClassScore]


@dataclass(frozen=True)
class LanguageResult(Result):
    """How well a language model foretells a text."""

    tokens: int  # foretold, ends of lines included
    unknown_share: float  # of them
    loss: float  # mean -log p of a token, nats
    perplexity: float  # e^loss
    bits_per_token: float
    bits_per_character: float | None  # all bits by the characters of the text; null where they were not counted
    unit: str  # what a token is: word, character or byte


@dataclass(frozen=True)
class RegressionResult(Result):
    """How far predicted numbers are from the true ones."""

    n: int  # rows
    outputs: int  # numbers of a row
    mse: float
    rmse: float
    mae: float
    r2: float | None  # null where the true numbers do not vary
    baselines: dict[str, dict[str, float]] | None = None  # mse and mae of simple guesses, by name


@dataclass(frozen=True)
class ParameterRow(Result):
    """One array of numbers of a model."""

    name: str
    shape: list[int]
    count: int
    trainable: bool


@dataclass(frozen=True)
class CostLine(Result):
    """What reading one text costs, in floating-point operations."""

    length: int  # tokens, L
    recurrence_flops: int  # grows as L H^2
    attention_flops: int  # of one self-attention layer of the same width, grows as L^2 H
    crossing_length: float  # where both cost the same; the recurrence is cheaper beyond it


@dataclass(frozen=True)
class InfoResult(Result):
    """What a model is made of."""

    model: str
    kind: str  # classifier or embeddings
    parameters: list[ParameterRow]
    total: int
    trainable: int
    not_trained: list[str]
    cost: CostLine | None  # of recurrent models
    config: dict[str, Any]


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
class AnalogyAnswer(Result):
    """One word that may complete an analogy."""

    word: str
    score: float  # add: cosine with b - a + c; mul: the quotient of shifted cosines


@dataclass(frozen=True)
class AnalogyResult(Result):
    """The words d of "a is to b as c is to d"; `found` is false when a word of the question has no vector."""

    question: list[str]  # a, b, c
    found: bool
    missing: list[str]  # words of the question without a vector
    method: str  # add or mul
    answers: list[AnalogyAnswer] = field(default_factory=list)


@dataclass(frozen=True)
class SimilarityScore(Result):
    """Rank agreement with people under one policy for words without a vector."""

    spearman: float | None  # null for fewer than two pairs, or where one side is constant
    interval: list[float] | None  # 95 % bootstrap percentiles
    pairs: int  # pairs counted


@dataclass(frozen=True)
class SimilarityResult(Result):
    """Spearman rank correlation of cosines with human scores; the first three numbers are those of the chosen policy."""

    name: str
    spearman: float | None
    interval: list[float] | None
    pairs: int
    oov: int  # pairs of the file with a word that has no vector
    skip: SimilarityScore  # such pairs left out
    zero: SimilarityScore  # such pairs counted with similarity 0


@dataclass(frozen=True)
class AnalogyScore(Result):
    """Share of analogies answered right under one policy for words without a vector."""

    accuracy: float | None  # null without a question
    interval: list[float] | None
    n: int  # questions counted
    correct: int


@dataclass(frozen=True)
class AnalogyScores(Result):
    """One method under both policies."""

    skip: AnalogyScore  # questions with a word that has no vector left out
    zero: AnalogyScore  # such questions counted as wrong


@dataclass(frozen=True)
class AnalogySectionResult(Result):
    """One section of an analogy file; accuracy, interval and n are 3CosAdd's under the chosen policy."""

    name: str
    file: str
    accuracy: float | None
    interval: list[float] | None
    n: int
    oov: int  # questions with a word that has no vector
    add: AnalogyScores
    mul: AnalogyScores


@dataclass(frozen=True)
class AnalogyEvaluation(Result):
    """All analogies together, and section by section."""

    accuracy: float | None
    interval: list[float] | None
    n: int
    oov: int
    add: AnalogyScores
    mul: AnalogyScores
    sections: list[AnalogySectionResult]


@dataclass(frozen=True)
class Difference(Result):
    """Two models on the same items: Spearman's correlation or accuracy of each, and the first less the second."""

    n: int  # items both are measured on
    first: float | None
    second: float | None
    difference: float | None
    interval: list[float] | None  # of the difference, by paired bootstrap
    first_better: float | None  # share of the resamples in which the first is better
    second_better: float | None


@dataclass(frozen=True)
class Differences(Result):
    """A difference under both policies."""

    skip: Difference  # items left out for which either model lacks a word
    zero: Difference


@dataclass(frozen=True)
class SimilarityComparison(Result):
    """Two models on one file of word pairs."""

    name: str
    skip: Difference
    zero: Difference


@dataclass(frozen=True)
class AnalogyComparison(Result):
    """Two models on all analogies, by method."""

    add: Differences
    mul: Differences


@dataclass(frozen=True)
class EmbeddingsComparison(Result):
    """The first model against the second."""

    similarity: list[SimilarityComparison]
    analogy: AnalogyComparison | None


@dataclass(frozen=True)
class EmbeddingsScores(Result):
    """What one set of word vectors knows."""

    model: str
    words: int  # words considered
    similarity: list[SimilarityResult]
    analogy: AnalogyEvaluation | None


@dataclass(frozen=True)
class EvalEmbeddingsResult(EmbeddingsScores):
    """The first model's scores; with two models also the second's, and their comparison."""

    second: EmbeddingsScores | None = None
    comparison: EmbeddingsComparison | None = None


@dataclass(frozen=True)
class Damage(Result):
    """One kind of damage in a file."""

    count: int
    first: int  # where it was first met: line of a text file, row of a binary one, from 1


@dataclass(frozen=True)
class DamageReport(Result):
    """What is wrong with a file of word vectors; None for each kind that did not occur (docs/vector-formats.md)."""

    duplicates: Damage | None = None  # rows whose word had a vector already; the first one is kept
    bad_utf8: Damage | None = None  # words that are not UTF-8; left out
    wrong_field_count: Damage | None = None  # lines with too few fields, or without a word; left out
    bad_numbers: Damage | None = None  # lines where a number should stand and does not; left out
    non_finite: Damage | None = None  # vectors that hold nan or inf; left out
    tokens_with_spaces: Damage | None = None  # words of several fields, joined by a space; kept
    header_mismatch: Damage | None = None  # count: rows more or fewer than the header says, 1 for a wrong dimension
    truncated: Damage | None = None  # rows of a binary file from where it cannot be read on; left out

    def __bool__(self) -> bool:
        """Whether there is any damage."""
        return self != DamageReport()


@dataclass(frozen=True)
class ImportResult(Result):
    """What import-torch took over."""

    run: str
    cell: str
    layers: int
    bidirectional: bool
    hidden_size: int
    dim: int  # of the embedding
    words: int
    labels: list[str]
    model_sha256: str


@dataclass(frozen=True)
class ExportResult(Result):
    """What export wrote."""

    model: str
    output: str
    opset: int
    bytes: int
    largest_difference: float | None  # between its logits and the model's; null where onnxruntime is not installed
    sha256: str


@dataclass(frozen=True)
class ConvertResult(Result):
    """What convert read and wrote."""

    source: str
    source_format: str  # as found: rnncli, word2vec-text, word2vec-bin or glove
    output: str
    format: str
    words: int
    dim: int
    damage: DamageReport = field(default_factory=DamageReport)
