"""The training loop: a generator that yields after every epoch and knows neither files nor terminal."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.config.rnn import TrainingConfig
from rnncli.data.batching import epoch_batches
from rnncli.data.labelled import LabelledIds
from rnncli.errors import ConfigError, DivergedError
from rnncli.events import OnEvent, PhaseStarted, Progressed
from rnncli.results import EvalResult
from rnncli.rnn import metrics
from rnncli.rnn.network import Gradients, Network
from rnncli.rnn.packing import pack_batch
from rnncli.rnn.predict import label_losses, predict_probabilities
from rnncli.rnn.schedule import factor, plateaus
from rnncli.rnn.train_state import Best, TrainState

REPORT_SECONDS = 0.2  # at most five progress events a second


def evaluate_network(network: Network, data: LabelledIds, labels: list[str]) -> EvalResult:
    """Scores on labelled data, dropout off."""
    probabilities = predict_probabilities(network, data.ids, data.offsets)
    losses = label_losses(probabilities, data.labels)
    return metrics.evaluate(data.labels, probabilities.argmax(axis=1), losses, labels)


def train_epoch(
    state: TrainState,
    train: LabelledIds,
    config: TrainingConfig,
    seed: int,
    on_event: OnEvent,
    weights_C: NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """One pass over the training rows; returns its mean loss and the gradient norms before clipping."""
    epoch = state.epoch + 1
    batches = epoch_batches(train.lengths, config.batch_size, seed, epoch)
    updates = -(-len(batches) // config.accumulate)
    falls = plateaus([bool(row["best"]) for row in state.history], config.plateau_patience)
    on_event(PhaseStarted(f"epoch {epoch}", train.n, "rows"))
    loss_sum, rows, reported = 0.0, 0, time.perf_counter()
    norms: list[float] = []
    held: list[tuple[Gradients, float]] = []
    for i, batch_rows in enumerate(batches):
        batch = pack_batch(train.ids, train.offsets, batch_rows)
        labels_B = train.labels[batch.rows_B]
        weights_B = None if weights_C is None else weights_C[labels_B]
        dropout_key = rng.key(seed, rng.Stream.DROPOUT, epoch, i)
        gradients = state.network.gradients(batch, labels_B, dropout_key, weights_B, config.label_smoothing)
        held.append((gradients, float(batch_rows.size if weights_B is None else weights_B.sum())))
        loss = float(gradients.loss_B.sum())
        norm = 0.0
        if len(held) == config.accumulate or i + 1 == len(batches):
            lr = factor(config, (epoch - 1) * updates + len(norms), config.epochs * updates, falls)
            norm = state.optimiser.step(state.network, combined(held), lr)
            norms.append(norm)
            held = []
        if not (np.isfinite(loss) and np.isfinite(norm)):
            raise DivergedError(
                f"training diverged in epoch {epoch}, batch {i + 1}: loss {loss / batch_rows.size:g}, gradient norm"
                f" {norm:g}; lower training.lr or training.clip_norm (epoch {state.best.epoch} is kept)"
            )
        loss_sum, rows = loss_sum + loss, rows + batch_rows.size
        state.tokens += batch.ids_N.size
        if time.perf_counter() - reported > REPORT_SECONDS:
            reported = time.perf_counter()
            on_event(Progressed(rows, loss_sum / rows, epoch))
    on_event(Progressed(rows, loss_sum / max(1, rows), epoch))
    clipped = float(np.mean(np.asarray(norms) > config.clip_norm)) if config.clip_norm > 0 else 0.0
    return {
        "train_loss": loss_sum / rows,
        "grad_norm_median": float(np.median(norms)),
        "grad_norm_max": float(np.max(norms)),
        "clipped_share": clipped,
    }


def combined(parts: list[tuple[Gradients, float]]) -> Gradients:
    """The gradients of the mean over several batches, each given with the weight of its rows."""
    if len(parts) == 1:
        return parts[0][0]
    total = sum(weight for _, weight in parts)
    rows = np.unique(np.concatenate([g.rows_U for g, _ in parts]))
    dense_P = np.zeros_like(parts[0][0].dense_P)
    embedding_UE = np.zeros((len(rows), parts[0][0].embedding_UE.shape[1]), dense_P.dtype)
    for g, weight in parts:
        share = dense_P.dtype.type(weight / total)
        dense_P += share * g.dense_P
        embedding_UE[np.searchsorted(rows, g.rows_U)] += share * g.embedding_UE
    return Gradients(np.concatenate([g.loss_B for g, _ in parts]), dense_P, embedding_UE, rows)


def label_weights(config: TrainingConfig, train: LabelledIds, labels: list[str]) -> NDArray[np.float64] | None:
    """The weight of each label, (C,); None when all are 1. ConfigError for a label that the data lack."""
    if config.class_weights is None:
        return None
    counts = np.bincount(train.labels, minlength=len(labels))
    if config.class_weights == "balanced":
        return np.asarray(train.n / (len(labels) * np.maximum(counts, 1)))
    unknown = sorted(config.class_weights.keys() - set(labels))
    if unknown:
        raise ConfigError(f"training.class_weights: no label {unknown[0]!r}; the labels are {', '.join(labels[:20])}")
    return np.array([config.class_weights.get(label, 1.0) for label in labels])


def fit(
    state: TrainState,
    train: LabelledIds,
    valid: LabelledIds,
    labels: list[str],
    config: TrainingConfig,
    seed: int,
    on_event: OnEvent,
) -> Iterator[dict[str, Any]]:
    """Train until config.epochs or until `patience` epochs brought nothing better; yields each row of history.jsonl.

    The state may come from a checkpoint: training goes on as if it had never stopped.
    """
    weights_C = label_weights(config, train, labels)
    while state.epoch < config.epochs and not _out_of_patience(state, config):
        started = time.perf_counter()
        row: dict[str, Any] = {"epoch": state.epoch + 1, **train_epoch(state, train, config, seed, on_event, weights_C)}
        state.seconds += time.perf_counter() - started
        result = evaluate_network(state.network, valid, labels)
        state.epoch += 1
        if state.best.beaten_by(result):
            state.best = Best(
                state.epoch, result.accuracy, result.loss,
                state.network.dense.flat.copy(), state.network.embedding_VE.copy(),
            )  # fmt: skip
        row |= {"valid_loss": result.loss, "valid_accuracy": result.accuracy, "valid_macro_f1": result.macro_f1}
        row["best"] = state.best.epoch == state.epoch
        state.history.append(row)
        yield row


def _out_of_patience(state: TrainState, config: TrainingConfig) -> bool:
    return config.patience > 0 and state.epoch - state.best.epoch >= config.patience
