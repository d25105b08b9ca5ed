"""The table of heads: how many outputs, which loss, how logits become probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.kernels import losses


@dataclass(frozen=True)
class Head:
    """A read-out of h_L. `loss` has the signature of kernels.losses.multiclass_loss."""

    name: str
    loss: Callable[..., None]
    probabilities: Callable[[NDArray[Any]], NDArray[np.float64]]

    def outputs(self, classes: int) -> int:
        """Width of the logits, C."""
        return 1 if self.name == "binary" else classes


def _binary_probabilities(logits_BC: NDArray[Any]) -> NDArray[np.float64]:
    """(B, 1) logits -> (B, 2) probabilities of the two labels, float64."""
    z = logits_BC[:, 0].astype(np.float64)
    e = np.exp(-np.abs(z))
    small, large = e / (1.0 + e), 1.0 / (1.0 + e)
    return np.stack([np.where(z >= 0, small, large), np.where(z >= 0, large, small)], axis=1)


def _softmax_probabilities(logits_BC: NDArray[Any]) -> NDArray[np.float64]:
    """(B, C) logits -> (B, C) probabilities, float64."""
    z = logits_BC.astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _sigmoid_probabilities(logits_BC: NDArray[Any]) -> NDArray[np.float64]:
    """(B, C) logits -> (B, C) probabilities, each label by itself, float64."""
    return np.stack([_binary_probabilities(logits_BC[:, c : c + 1])[:, 1] for c in range(logits_BC.shape[1])], axis=1)


def _as_they_are(outputs_BC: NDArray[Any]) -> NDArray[np.float64]:
    return outputs_BC.astype(np.float64)


HEADS = {
    "binary": Head("binary", losses.binary_loss, _binary_probabilities),
    "multiclass": Head("multiclass", losses.multiclass_loss, _softmax_probabilities),
    "multilabel": Head("multilabel", losses.multilabel_loss, _sigmoid_probabilities),
    "regression": Head("regression", losses.squared_loss, _as_they_are),
}


def choose_head(name: str, classes: int) -> str:
    """The head that `auto` stands for."""
    if name == "auto":
        return "binary" if classes == 2 else "multiclass"
    return name
