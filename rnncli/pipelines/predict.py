"""Lines -> one prediction each, in order, in batches as the lines arrive."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.data.forecast import table_of
from rnncli.data.numeric import parse_series
from rnncli.errors import CorpusError, UsageError
from rnncli.pipelines.models import load_recurrent
from rnncli.rnn.classifier import Classifier
from rnncli.rnn.language import LanguageModel
from rnncli.rnn.regression import Regressor
from rnncli.rnn.tagging import Tagger, tag

CHUNK_TEXTS = 4096  # texts read ahead before their predictions go out; enough to fill length-sorted batches

Prediction = dict[str, Any]


def run(model: Path, texts: Iterable[str], chunk: int = CHUNK_TEXTS) -> Iterator[Prediction]:
    """Yield a prediction for every text, N in, N out; its keys depend on the model (docs/json.md).

    The answer to a text does not depend on the texts around it. A tagger that reads columns beside the token takes
    tagged lines instead, a blank line after each sentence, and gives one prediction a sentence. Raises UsageError or
    ArtifactError for the model.
    """
    loaded = load_recurrent(model)
    if isinstance(loaded, LanguageModel):
        raise UsageError(f"{model}: is a language model; it goes on from a text with `rnncli generate`")
    if isinstance(loaded, Tagger):
        if loaded.columns:
            return _in_chunks(_sentences(iter(texts)), chunk, lambda some: _tag_columns(loaded, some))
        return _in_chunks(iter(texts), chunk, lambda some: _tag(loaded, [text.split() for text in some]))
    if isinstance(loaded, Regressor):
        if loaded.input == "forecast":
            return _foretell(loaded, texts)
        return _in_chunks(enumerate(texts, start=1), chunk, lambda some: _numbers(loaded, some))
    if loaded.separator is not None:
        return _in_chunks(iter(texts), chunk, lambda some: _label_sets(loaded, some))
    return _in_chunks(iter(texts), chunk, lambda some: _label(loaded, some))


def _in_chunks(items: Iterator[Any], chunk: int, answer: Any) -> Iterator[Prediction]:
    while some := list(islice(items, chunk)):
        yield from answer(some)


def _label(classifier: Classifier, texts: list[str]) -> Iterator[Prediction]:
    labels = classifier.labels
    for row in classifier.probabilities(texts).tolist():
        best = max(range(len(row)), key=row.__getitem__)
        yield {
            "label": labels[best],
            "probability": row[best],
            "probabilities": dict(zip(labels, row, strict=True)),
        }


def _label_sets(classifier: Classifier, texts: list[str]) -> Iterator[Prediction]:
    for row in classifier.probabilities(texts).tolist():
        by_label = dict(zip(classifier.labels, row, strict=True))
        yield {"labels": [label for label, p in by_label.items() if p >= 0.5], "probabilities": by_label}


def _tag(
    tagger: Tagger, sentences: list[list[str]], columns: dict[str, list[str]] | None = None
) -> Iterator[Prediction]:
    offsets = np.append(0, np.cumsum([len(words) for words in sentences])).astype(np.int64)
    tokens = [word for words in sentences for word in words]
    labels, log_p = tag(tagger.network, tagger.encode(tokens, offsets, dict(columns or {})))
    probabilities = np.exp(log_p).tolist()
    for i, words in enumerate(sentences):
        own = slice(offsets[i], offsets[i + 1])
        yield {
            "tokens": words,
            "labels": [tagger.labels[label] for label in labels[own]],
            "probabilities": probabilities[own],
        }


def _numbers(regressor: Regressor, lines: list[tuple[int, str]]) -> Iterator[Prediction]:
    if regressor.input == "text":
        data = regressor.encode_texts([text for _, text in lines])
    else:
        series = [parse_series(text, f"line {number}") for number, text in lines]
        for (number, _), one in zip(lines, series, strict=True):
            if len(one) and one.shape[1] != regressor.network.spec.inputs:
                raise CorpusError(
                    f"line {number}: {one.shape[1]} channels where the model reads {regressor.network.spec.inputs}"
                )
        data = regressor.encode_series(series)
    for row in regressor.predict(data).tolist():
        yield {"prediction": row[0] if len(row) == 1 else row}


def _foretell(regressor: Regressor, lines: Iterable[str]) -> Iterator[Prediction]:
    """One object for each step after the end of a table."""
    _, values = table_of(lines, regressor.channels)
    if len(values) < regressor.window:
        raise CorpusError(f"{len(values)} rows are too few: this model reads the last {regressor.window}")
    for step, row in enumerate(regressor.foretell(values).tolist(), start=1):
        yield {"step": step, **dict(zip(regressor.targets, row, strict=True))}


def _sentences(lines: Iterator[str]) -> Iterator[list[tuple[int, list[str]]]]:
    """Numbered lines of fields up to each blank line."""
    held: list[tuple[int, list[str]]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            held.append((number, line.split("\t") if "\t" in line else line.split()))
        elif held:
            yield held
            held = []
    if held:
        yield held


def _tag_columns(tagger: Tagger, sentences: list[list[tuple[int, list[str]]]]) -> Iterator[Prediction]:
    def field(number: int, fields: list[str], column: str) -> str:
        try:
            return fields[int(column)]
        except (IndexError, ValueError):
            raise CorpusError(
                f"line {number}: no column {column}, which this tagger reads; give one token a line with its columns"
            ) from None

    columns = {
        column: [field(number, fields, column) for sentence in sentences for number, fields in sentence]
        for column in tagger.columns
    }
    words = [[field(number, fields, tagger.token_column) for number, fields in sentence] for sentence in sentences]
    return _tag(tagger, words, columns)
