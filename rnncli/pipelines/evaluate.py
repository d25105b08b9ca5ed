"""A recurrent model's scores on a file of its kind."""

from pathlib import Path

from rnncli.artifacts.bundle import load_model
from rnncli.config.rnn import DataFormat
from rnncli.data.labelled import encode_labelled
from rnncli.data.readers import read_labelled
from rnncli.data.running import encode_running, read_running
from rnncli.data.tagged import read_tagged
from rnncli.errors import CorpusError
from rnncli.pipelines.models import load_recurrent
from rnncli.pipelines.regression_inputs import evaluate_regressor
from rnncli.pipelines.train_lm import token_unit
from rnncli.pipelines.train_tagger import encode
from rnncli.results import EvalResult, LanguageResult, RegressionResult, TaggingResult
from rnncli.rnn.classification import evaluate_network
from rnncli.rnn.classifier import Classifier
from rnncli.rnn.language import LanguageModel, evaluate_language
from rnncli.rnn.regression import Regressor
from rnncli.rnn.tagging import Tagger, evaluate_tagger

ONE_PIECE = 1


def run(
    model: Path,
    file: Path,
    *,
    format_: DataFormat = "auto",
    text_column: str | None = None,
    label_column: str | None = None,
) -> EvalResult | RegressionResult | TaggingResult | LanguageResult:
    """Classifier: accuracy, F1, confusion. Regressor: errors. Tagger: token accuracy, span F1. Language model: perplexity.

    Columns that are not named are those of the recipe the model was trained by.

    Raises UsageError, CorpusError, ArtifactError.
    """
    loaded = load_recurrent(model)
    recipe = load_model(model).meta.get("config", {}).get("data", {})  # one from another program has none
    text = text_column or recipe.get("text_column", "text")
    label = label_column or recipe.get("label_column", -1 if isinstance(loaded, Tagger) else "label")
    if isinstance(loaded, LanguageModel):
        running = encode_running(read_running(file, loaded.tokenizer), loaded.vocab)
        return evaluate_language(loaded.network, running, token_unit(loaded.tokenizer), ONE_PIECE)
    if isinstance(loaded, Tagger):
        texts = read_tagged(file, loaded.token_column, label, loaded.columns)
        tagged = encode(loaded, texts)
        if not (tagged.labels >= 0).any():
            raise CorpusError(f"{file}: the model knows none of its labels; --label-column names another column")
        return evaluate_tagger(loaded.network, tagged, loaded.labels)
    if isinstance(loaded, Regressor):
        return evaluate_regressor(loaded, file, format_, text, label)
    return _evaluate_classifier(loaded, file, format_, text, label)


def _evaluate_classifier(
    classifier: Classifier, file: Path, format_: DataFormat, text_column: str, label_column: str
) -> EvalResult:
    records = read_labelled(file, format_, text_column, label_column, classifier.separator)
    data = encode_labelled(
        records, classifier.tokenizer, classifier.vocab, classifier.label_index, classifier.max_length,
        features=classifier.features, separator=classifier.separator,
    )  # fmt: skip
    return evaluate_network(classifier.network, data, classifier.labels)
