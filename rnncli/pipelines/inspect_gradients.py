"""A trained classifier and a labelled file -> how its gradients travel back through time."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.artifacts.run_directory import describe_input
from rnncli.config.inspection import InspectConfig
from rnncli.data.labelled import encode_labelled
from rnncli.data.readers import LabelledTexts, read_labelled
from rnncli.errors import CorpusError, UsageError
from rnncli.inspection.inspect import inspect
from rnncli.pipelines.models import load_classifier
from rnncli.results import InspectionResult
from rnncli.rnn.spec import NetworkSpec


def run(model: Path, file: Path, config: InspectConfig) -> InspectionResult:
    """Inspect `model` on probe sequences drawn from `file`. Raises UsageError, CorpusError, ArtifactError."""
    classifier = load_classifier(model)
    _check_kind(model, classifier.network.spec)
    records = read_labelled(file, "auto", config.text_column, config.label_column)
    chosen = probe_rows(len(records.texts), config.sequences, config.seed)
    records = LabelledTexts(
        [records.texts[i] for i in chosen], [records.labels[i] for i in chosen], [records.lines[i] for i in chosen],
        records.path,
    )  # fmt: skip
    data = encode_labelled(
        records, classifier.tokenizer, classifier.vocab, classifier.label_index, classifier.max_length
    )
    ids, offsets = last_tokens(data.ids, data.offsets, config.max_length)
    if ids.size == 0:
        raise CorpusError(f"{file}: the probe sequences have no tokens; there is no gradient to inspect")
    source = {"file": str(file), "sha256": describe_input(file).sha256, "seed": config.seed}
    return inspect(classifier.network, ids, offsets, data.labels, need=config.need, seed=config.seed, source=source)


def _check_kind(model: Path, spec: NetworkSpec) -> None:
    """UsageError for networks that this release cannot inspect."""
    plain = spec.cell in ("rnn", "relu") and spec.layers == 1 and not spec.bidirectional and spec.pooling == "last"
    if not plain:
        kind = f"{spec.layers}-layer {'bidirectional ' if spec.bidirectional else ''}{spec.cell} read by {spec.pooling}"
        raise UsageError(
            f"{model}: a {kind}; inspect-gradients measures one layer of rnn or relu, read at its last state"
        )


def probe_rows(n: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """`wanted` of n rows (all, if there are not more), drawn by the seed, in file order."""
    return np.sort(rng.permutation(rng.key(seed, rng.Stream.PROBE), n)[:wanted])


def last_tokens(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Cut every row to its last `longest` tokens: those nearest to the read-out."""
    starts = np.maximum(offsets[:-1], offsets[1:] - longest)
    lengths = offsets[1:] - starts
    kept = np.concatenate([ids[a:b] for a, b in zip(starts, offsets[1:], strict=True)])
    return kept, np.append(0, np.cumsum(lengths)).astype(np.int64)
