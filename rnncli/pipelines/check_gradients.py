"""A train-classifier recipe -> its gradients against central differences."""

import numpy as np

from rnncli.config.inspection import GradientCheckConfig
from rnncli.config.rnn import ClassifierConfig
from rnncli.data.labelled import build_label_list, build_vocabulary, encode_labelled
from rnncli.data.readers import LabelledTexts, read_labelled
from rnncli.data.tokenise import Tokenizer
from rnncli.inspection.gradient_check import check_gradients
from rnncli.pipelines.probes import probe_rows
from rnncli.results import GradientCheckResult
from rnncli.rnn.init import Start
from rnncli.rnn.network import Network
from rnncli.rnn.packing import pack_batch
from rnncli.rnn.spec import NetworkSpec

SHARD_ROWS = 2  # so that even a small batch has several shards to sum


def run(recipe: ClassifierConfig, check: GradientCheckConfig) -> GradientCheckResult:
    """Build the recipe's network in float64 with its first values, and check it on a few rows of its training file.

    The vocabulary is that of the rows, so every embedding row takes part; pretrained vectors are not read.
    """
    data = recipe.data
    records = read_labelled(data.train, data.format, data.text_column, data.label_column)
    labels = build_label_list(records.labels)
    rows = probe_rows(len(records.texts), check.sequences, recipe.seed)
    few = LabelledTexts(
        [records.texts[i] for i in rows],
        [records.labels[i] for i in rows],
        [records.lines[i] for i in rows],
        records.path,
    )
    tokenizer = Tokenizer(data.tokenizer, data.lowercase)
    vocab, _ = build_vocabulary(few.texts, tokenizer, 1, None, check.max_length)
    index = {label: i for i, label in enumerate(labels)}
    encoded = encode_labelled(few, tokenizer, vocab, index, check.max_length)
    without_dropout = recipe.model.model_copy(update={"dropout": 0.0})
    spec = NetworkSpec.of_classifier(without_dropout, len(vocab), recipe.embeddings.dim, len(labels))
    network = Network(spec, np.float64)
    network.initialise(Start.of(recipe.model), recipe.seed)
    batch = pack_batch(encoded.ids, encoded.offsets, np.arange(encoded.n), SHARD_ROWS)
    return check_gradients(network, batch, encoded.labels[batch.rows_B], check.tolerance, recipe.seed)
