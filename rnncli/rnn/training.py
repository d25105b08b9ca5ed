"""The training loop: a generator that yields after every epoch and knows neither files nor terminal."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from rnncli import rng
from rnncli.config.rnn import TrainingConfig
from rnncli.data.batching import epoch_batches
from rnncli.data.labelled import LabelledIds
from rnncli.errors import DivergedError
from rnncli.events import OnEvent, PhaseStarted, Progressed
from rnncli.results import EvalResult
from rnncli.rnn import metrics
from rnncli.rnn.network import Network
from rnncli.rnn.packing import pack_batch
from rnncli.rnn.predict import label_losses, predict_probabilities
from rnncli.rnn.train_state import Best, TrainState

REPORT_SECONDS = 0.2  # at most five progress events a second


def evaluate_network(network: Network, data: LabelledIds, labels: list[str]) -> EvalResult:
    """Scores on labelled data, dropout off."""
    probabilities = predict_probabilities(network, data.ids, data.offsets)
    losses = label_losses(probabilities, data.labels)
    return metrics.evaluate(data.labels, probabilities.argmax(axis=1), losses, labels)


def train_epoch(
    state: TrainState, train: LabelledIds, config: TrainingConfig, seed: int, on_event: OnEvent
) -> dict[str, float]:
    """One pass over the training rows; returns its mean loss and the gradient norms before clipping."""
    epoch = state.epoch + 1
    batches = epoch_batches(train.lengths, config.batch_size, seed, epoch)
    on_event(PhaseStarted(f"epoch {epoch}", train.n, "rows"))
    loss_sum, rows, norms, reported = 0.0, 0, [], time.perf_counter()
    for i, batch_rows in enumerate(batches):
        batch = pack_batch(train.ids, train.offsets, batch_rows)
        dropout_key = rng.key(seed, rng.Stream.DROPOUT, epoch, i)
        gradients = state.network.gradients(batch, train.labels[batch.rows_B], dropout_key)
        norm = state.optimiser.step(state.network, gradients)
        loss = float(gradients.loss_B.sum())
        if not (np.isfinite(loss) and np.isfinite(norm)):
            raise DivergedError(
                f"training diverged in epoch {epoch}, batch {i + 1}: loss {loss / batch_rows.size:g}, gradient norm"
                f" {norm:g}; lower training.lr or training.clip_norm (epoch {state.best.epoch} is kept)"
            )
        loss_sum, rows = loss_sum + loss, rows + batch_rows.size
        state.tokens += batch.ids_N.size
        norms.append(norm)
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
    while state.epoch < config.epochs and not _out_of_patience(state, config):
        started = time.perf_counter()
        row: dict[str, Any] = {"epoch": state.epoch + 1, **train_epoch(state, train, config, seed, on_event)}
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
