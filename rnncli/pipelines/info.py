"""A model file -> what it is made of and what it costs."""

from pathlib import Path

from rnncli.artifacts.bundle import ModelFile, load_model
from rnncli.errors import ArtifactError
from rnncli.pipelines.models import RECURRENT
from rnncli.results import CostLine, InfoResult, ParameterRow
from rnncli.rnn.describe import NOT_TRAINED, cost_line, parameter_table

USUAL_LENGTH = 100


def run(model: Path, length: int | None = None) -> InfoResult:
    """Describe a recurrent network or an embeddings model; `length` is that of a text, in tokens, for the cost line.

    Raises UsageError for a missing file, ArtifactError for a damaged one.
    """
    stored = load_model(model)
    if stored.kind in RECURRENT:
        return _recurrent(model, stored, length or USUAL_LENGTH)
    if stored.kind == "embeddings":
        return _embeddings(model, stored)
    raise ArtifactError(f"{model}: is a {stored.kind}; info describes finished models")


def _recurrent(model: Path, stored: ModelFile, length: int) -> InfoResult:
    try:
        network = RECURRENT[stored.kind].from_stored(stored.tensors, stored.meta).network
    except ArtifactError as error:
        raise ArtifactError(f"{model}: {error}") from error
    config = stored.meta.get("config", {})
    rows = parameter_table(network, bool(config.get("embeddings", {}).get("trainable", True)))
    cost = cost_line(network.spec, length)
    return _result(model, stored, rows, list(NOT_TRAINED), cost)


def _embeddings(model: Path, stored: ModelFile) -> InfoResult:
    rows = [
        ParameterRow(name, list(tensor.shape), tensor.size, True)
        for name, tensor in stored.tensors.items()
        if tensor.ndim == 2
    ]
    return _result(model, stored, rows, ["the words, their counts and the keys of the config"])


def _result(
    model: Path, stored: ModelFile, rows: list[ParameterRow], not_trained: list[str], cost: CostLine | None = None
) -> InfoResult:
    total, trainable = sum(row.count for row in rows), sum(row.count for row in rows if row.trainable)
    config = dict(stored.meta.get("config", {}))
    return InfoResult(str(model), stored.kind, rows, total, trainable, not_trained, cost, config)
