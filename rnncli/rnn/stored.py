"""The parts that every stored recurrent model shares: its network, vocabulary and features, as tensors and meta data.

Tensors are named and laid out as torch does: weight_ih_l0 (gates H, I), weight_hh_l0 (gates H, H), bias_ih_l0 and
bias_hh_l0, ..._l0_reverse, ..._l1, so that torch.nn.RNN, LSTM and GRU load the tensors under "rnn." as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnncli.data.features import FeatureTables
from rnncli.data.vocab import Vocabulary
from rnncli.errors import ArtifactError
from rnncli.rnn.network import Network
from rnncli.rnn.spec import NetworkSpec
from rnncli.rnn.torch_layout import take_torch_tensors, torch_tensors

Tensors = Mapping[str, NDArray[Any]]
T = TypeVar("T")


def network_tensors(network: Network) -> dict[str, NDArray[Any]]:
    """All numbers of a network by name."""
    return torch_tensors(network.dense) | {f"{name}.weight": table for name, table in network.tables.items()}


def stored_network(tensors: Tensors, meta: Mapping[str, Any]) -> Network:
    """The inverse, with `meta["network"]`; ArtifactError where shapes do not agree."""
    spec = NetworkSpec(**meta["network"])
    some = next(values for name, values in tensors.items() if name.startswith("rnn.weight_ih_l0"))
    network = Network(spec, some.dtype)
    take_torch_tensors(network.dense, dict(tensors))
    for name, table in network.tables.items():
        stored = tensors[f"{name}.weight"]
        if stored.shape != table.shape:
            raise ArtifactError(f"{name}.weight has the shape {stored.shape}, the network needs {table.shape}")
        network.tables[name] = np.ascontiguousarray(stored)
    return network


def network_meta(network: Network) -> dict[str, Any]:
    """The sizes and choices of a network, without those that are as they always were."""
    return {"network": asdict(network.spec)}


def text_tensors(vocab: Vocabulary, features: FeatureTables | None) -> dict[str, NDArray[Any]]:
    """A vocabulary and its features as bytes."""
    tensors = {"vocabulary": np.frombuffer(vocab.to_bytes(), np.uint8)}
    if features is not None and features.names:
        tensors["feature_values"] = np.frombuffer(features.to_bytes(), np.uint8)
    return tensors


def stored_vocabulary(tensors: Tensors) -> Vocabulary:
    """The inverse."""
    return Vocabulary.from_bytes(tensors["vocabulary"].tobytes())


def stored_features(tensors: Tensors) -> FeatureTables | None:
    """The inverse; None where the model reads no features."""
    stored = tensors.get("feature_values")
    return None if stored is None else FeatureTables.from_bytes(stored.tobytes())


def complete(read: Callable[..., T]) -> Callable[..., T]:
    """Turn a missing part of a model file into an ArtifactError."""

    @wraps(read)
    def checked(*arguments: Any) -> T:
        try:
            return read(*arguments)
        except (KeyError, TypeError, StopIteration) as error:
            raise ArtifactError(f"the model file lacks a part: {error}") from error

    return checked
