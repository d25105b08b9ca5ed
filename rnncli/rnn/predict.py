"""Rows -> logits or probabilities, in the order of the rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences, pack

BATCH_ROWS = 128
BATCH_TOKENS = 65_536  # bounds the memory of a batch of long texts


def prediction_batches(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """All rows, longest first, in batches of bounded rows and tokens; a row's result does not depend on the cut."""
    order = np.argsort(-lengths, kind="stable")
    batches: list[NDArray[np.int64]] = []
    start, tokens = 0, 0
    for i, row in enumerate(order):
        if i > start and (i - start >= BATCH_ROWS or tokens + lengths[row] > BATCH_TOKENS):
            batches.append(order[start:i])
            start, tokens = i, 0
        tokens += int(lengths[row])
    if start < order.size:
        batches.append(order[start:])
    return batches


def predict_logits(network: Network, data: Sequences) -> NDArray[np.float64]:
    """Logits (n, C) of every row."""
    logits_nC = np.empty((data.n, network.spec.outputs), np.float64)
    for rows in prediction_batches(data.lengths):
        batch = pack(data, rows)
        logits_nC[batch.rows_B] = network.forward(batch, keep=False).logits_MC
    return logits_nC


def predict_probabilities(network: Network, data: Sequences) -> NDArray[np.float64]:
    """Probabilities (n, classes) of every row; a regression's outputs as they are."""
    return network.head.probabilities(predict_logits(network, data))


def predict_steps(network: Network, data: Sequences) -> NDArray[Any]:
    """Logits (tokens, C) of every token; the rows of `data` lie one after the other."""
    logits = np.empty((int(data.lengths.sum()), network.spec.outputs), network.dtype)
    for rows in prediction_batches(data.lengths):
        batch = pack(data, rows)
        logits[batch.position_N] = network.forward(batch, keep=False).logits_MC
    return logits


def label_losses(probabilities_nC: NDArray[np.float64], labels_n: NDArray[np.int32]) -> NDArray[np.float64]:
    """-log p(label) of every row, nats."""
    chosen = probabilities_nC[np.arange(labels_n.size), labels_n]
    return np.asarray(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)))
