"""Rows of ids -> probabilities, in the order of the rows."""

import numpy as np
from numpy.typing import NDArray

from rnncli.rnn.network import Network
from rnncli.rnn.packing import pack_batch

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


def predict_logits(network: Network, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logits (n, C) of every row."""
    logits_nC = np.empty((offsets.size - 1, network.spec.outputs), np.float64)
    for rows in prediction_batches(np.diff(offsets)):
        batch = pack_batch(ids, offsets, rows)
        logits_nC[batch.rows_B] = network.forward(batch).logits_BC
    return logits_nC


def predict_probabilities(network: Network, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities (n, classes) of every row."""
    return network.head.probabilities(predict_logits(network, ids, offsets))


def label_losses(probabilities_nC: NDArray[np.float64], labels_n: NDArray[np.int32]) -> NDArray[np.float64]:
    """-log p(label) of every row, nats."""
    chosen = probabilities_nC[np.arange(labels_n.size), labels_n]
    return np.asarray(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)))
