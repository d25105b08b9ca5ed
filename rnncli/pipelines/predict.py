"""Texts -> one prediction per text, in order, in batches as the texts arrive."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rnncli.pipelines.models import load_classifier
from rnncli.rnn.classifier import Classifier

CHUNK_TEXTS = 4096  # texts read ahead before their predictions go out; enough to fill length-sorted batches


def run(model: Path, texts: Iterable[str], chunk: int = CHUNK_TEXTS) -> Iterator[dict[str, Any]]:
    """Yield `{label, probability, probabilities}` for every text, N in, N out.

    The answer to a text does not depend on the texts around it. Raises UsageError or ArtifactError for the model.
    """
    classifier = load_classifier(model)
    return _predict(classifier, iter(texts), chunk)


def _predict(classifier: Classifier, texts: Iterator[str], chunk: int) -> Iterator[dict[str, Any]]:
    while batch := list(islice(texts, chunk)):
        for row in classifier.probabilities(batch):
            best = int(row.argmax())
            yield {
                "label": classifier.labels[best],
                "probability": float(row[best]),
                "probabilities": {label: float(p) for label, p in zip(classifier.labels, row, strict=True)},
            }
