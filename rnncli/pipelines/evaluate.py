"""A classifier's scores on a labelled file."""

from pathlib import Path

from rnncli.config.rnn import DataFormat
from rnncli.data.labelled import encode_labelled
from rnncli.data.readers import read_labelled
from rnncli.pipelines.models import load_classifier
from rnncli.results import EvalResult
from rnncli.rnn.training import evaluate_network


def run(
    model: Path, file: Path, *, format_: DataFormat = "auto", text_column: str = "text", label_column: str = "label"
) -> EvalResult:
    """Accuracy, precision, recall, F1 and the confusion matrix. Raises UsageError, CorpusError, ArtifactError."""
    classifier = load_classifier(model)
    records = read_labelled(file, format_, text_column, label_column)
    data = encode_labelled(
        records, classifier.tokenizer, classifier.vocab, classifier.label_index, classifier.max_length
    )
    return evaluate_network(classifier.network, data, classifier.labels)
