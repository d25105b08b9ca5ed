"""A state_dict of torch (nn.Embedding, nn.RNN / LSTM / GRU, nn.Linear) -> a classifier of rnncli that predicts the same."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from rnncli import __version__
from rnncli.artifacts.bundle import MODEL_NAME, ModelFile, save_model
from rnncli.artifacts.run_directory import RunDirectory, describe_input
from rnncli.config.text import TokenizerName
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import UNKNOWN, Vocabulary
from rnncli.errors import ArtifactError, UsageError
from rnncli.events import Note, OnEvent, ignore
from rnncli.results import ImportResult
from rnncli.rnn.classifier import Classifier
from rnncli.rnn.network import Network
from rnncli.rnn.spec import NetworkSpec
from rnncli.rnn.torch_layout import take_torch_tensors

Tensors = dict[str, NDArray[Any]]
GATES = {1: "rnn", 3: "gru", 4: "lstm"}
RECURRENT = re.compile(r"^(.*?)\.?weight_hh_l0$")
SAVE = "from safetensors.torch import save_file; save_file(model.state_dict(), 'weights.safetensors')"
AS_SAFETENSORS = f"save it without pickle: {SAVE}"


@dataclass(frozen=True)
class TorchModel:
    """What the file does not say."""

    weights: Path  # a safetensors file of a state_dict
    vocabulary: Path  # a token a line, in the order of the embedding's rows
    labels: Path  # a label a line, in the order of the outputs
    cell: str = "auto"  # auto: rnn (tanh), lstm or gru by the number of gates; relu must be said
    pooling: str = "last"
    tokenizer: TokenizerName = "words"
    lowercase: bool = True


def run(source: TorchModel, output: Path, *, force: bool = False, on_event: OnEvent = ignore) -> ImportResult:
    """Write a run folder with the model. Raises UsageError (missing files) and ArtifactError (what does not fit)."""
    tensors = _read_weights(source.weights)
    names = _names_of(tensors, source.weights)
    on_event(Note("took " + ", ".join(f"{theirs} as {ours}" for ours, theirs in names.items())))
    tokens, labels = _lines(source.vocabulary), _lines(source.labels)
    embedding = tensors[names["embedding"]]
    if len(tokens) != len(embedding):
        raise ArtifactError(
            f"{source.vocabulary}: {len(tokens)} tokens, but {names['embedding']} has {len(embedding)} rows"
        )
    network = _network(source, tensors, names, labels)
    vocab, network.embedding_VE = _vocabulary(tokens, embedding, source.vocabulary)
    classifier = Classifier(network, vocab, Tokenizer(source.tokenizer, source.lowercase), labels)
    with RunDirectory.create(output, force=force) as folder:
        inputs = [describe_input(path) for path in (source.weights, source.vocabulary, source.labels)]
        meta = classifier.to_meta() | {
            "config": {},
            "provenance": {"rnncli": __version__, "seed": 0, "inputs": [item.sha256 for item in inputs]},
        }
        digest = save_model(output / MODEL_NAME, ModelFile(Classifier.kind, classifier.to_tensors(), meta))
        folder.manifest(0, 0, inputs)
    spec = network.spec
    return ImportResult(
        str(output),
        spec.cell,
        spec.layers,
        spec.bidirectional,
        spec.hidden_size,
        spec.embedding_dim,
        len(vocab),
        labels,
        digest,
    )


def _read_weights(path: Path) -> Tensors:
    if not path.is_file():
        raise UsageError(f"{path}: no such file; name a safetensors file of a state_dict")
    try:
        found = load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise ArtifactError(
            f"{path}: not a safetensors file ({' '.join(str(error).split())}); {AS_SAFETENSORS}"
        ) from None
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


def _names_of(tensors: Tensors, path: Path) -> dict[str, str]:
    """The names of the embedding, of the recurrent module and of the head: by what their shapes allow."""
    recurrent = [match.group(1) for name in tensors if (match := RECURRENT.match(name))]
    if len(recurrent) != 1:
        raise ArtifactError(
            f"{path}: {len(recurrent)} recurrent modules (weight_hh_l0); import-torch takes one nn.RNN, nn.LSTM or nn.GRU"
        )
    dot = f"{recurrent[0]}." if recurrent[0] else ""
    inputs = tensors[f"{dot}weight_ih_l0"].shape[1]
    others = {name: values for name, values in tensors.items() if not _is_recurrent(name, dot)}
    heads = [
        name for name, v in others.items() if name.endswith("weight") and f"{name[:-6]}bias" in others and v.ndim == 2
    ]
    embeddings = [name for name, v in others.items() if v.ndim == 2 and v.shape[1] == inputs and name not in heads]
    for what, found in (("embedding", embeddings), ("head (a weight with a bias)", heads)):
        if len(found) != 1:
            raise ArtifactError(
                f"{path}: cannot tell the {what} among {', '.join(sorted(others)) or 'nothing'}; keep one nn.Embedding, one"
                " recurrent module and one nn.Linear in the state_dict"
            )
    return {"embedding": embeddings[0], "rnn": recurrent[0], "head": heads[0]}


def _is_recurrent(name: str, dot: str) -> bool:
    return (
        name.startswith(dot) and re.match(r"(weight|bias)_(ih|hh)_l\d+(_reverse)?$", name.removeprefix(dot)) is not None
    )


def _network(source: TorchModel, tensors: Tensors, names: dict[str, str], labels: list[str]) -> Network:
    dot = f"{names['rnn']}." if names["rnn"] else ""
    own = {f"rnn.{name.removeprefix(dot)}": v for name, v in tensors.items() if _is_recurrent(name, dot)}
    if not any("bias" in name for name in own):
        raise ArtifactError(f"{source.weights}: the recurrent module has no biases; train it with bias=True")
    rows, hidden = own["rnn.weight_hh_l0"].shape
    guessed = GATES.get(rows // hidden)
    cell = guessed if source.cell == "auto" else source.cell
    if guessed is None or (cell != guessed and {cell, guessed} != {"rnn", "relu"}):
        raise ArtifactError(f"{source.weights}: weight_hh_l0 of shape {rows} x {hidden} is not that of a cell {cell}")
    weight = tensors[names["head"]]
    wanted = 1 if len(weight) == 1 else len(weight)
    head = "binary" if wanted == 1 else "multiclass"
    if len(labels) != (2 if head == "binary" else wanted):
        raise ArtifactError(
            f"{source.labels}: {len(labels)} labels for {wanted} outputs"
            + (" (one output: two labels)" if wanted == 1 else "")
        )
    layers = 1 + max(int(re.search(r"_l(\d+)", name).group(1)) for name in own)  # type: ignore[union-attr]
    embedding = tensors[names["embedding"]]
    spec = NetworkSpec(
        str(cell), head, len(embedding), embedding.shape[1], hidden, len(labels), 0.0, layers,
        "rnn.weight_ih_l0_reverse" in own, source.pooling,
    )  # fmt: skip
    network = Network(spec)
    own |= {
        "head.weight": weight,
        "head.bias": tensors[f"{names['head'][:-6]}bias"],
        "pooling.query": np.zeros(spec.stack.output_size),
    }
    try:
        take_torch_tensors(network.dense, own)
    except KeyError as error:
        raise ArtifactError(f"{source.weights}: lacks {error}") from None
    except ArtifactError as error:
        raise ArtifactError(f"{source.weights}: {error}") from None
    return network


def _vocabulary(tokens: list[str], embedding_VE: NDArray[Any], path: Path) -> tuple[Vocabulary, NDArray[Any]]:
    """The vocabulary with its unknown token first, and the rows of the embedding in that order."""
    unknown = [i for i, token in enumerate(tokens) if token.lower() in ("<unk>", "[unk]", "<unknown>")]
    if len(set(tokens)) != len(tokens):
        twice = next(token for i, token in enumerate(tokens) if token in tokens[:i])
        raise ArtifactError(f"{path}: the token {twice!r} is there twice")
    if len(unknown) != 1:
        raise ArtifactError(
            f"{path}: {len(unknown)} lines with <unk>; one row of the embedding must stand for unknown tokens"
        )
    order = [unknown[0], *(i for i in range(len(tokens)) if i != unknown[0])]
    kept = [UNKNOWN, *(tokens[i] for i in order[1:])]
    return Vocabulary(kept, np.zeros(len(kept), np.int64), has_unknown=True), np.ascontiguousarray(embedding_VE[order])


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from None
    return text.removesuffix("\n").split("\n")
