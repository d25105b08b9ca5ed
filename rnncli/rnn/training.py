"""The training loop: a generator that yields after every epoch and knows neither files nor terminal."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnncli import memory
from rnncli.config.rnn import TrainingConfig
from rnncli.errors import DivergedError
from rnncli.events import OnEvent, PhaseStarted, Progressed
from rnncli.rnn.inputs import SparseRows
from rnncli.rnn.network import Gradients
from rnncli.rnn.schedule import factor, plateaus
from rnncli.rnn.task import Task
from rnncli.rnn.train_state import TrainState

REPORT_SECONDS = 0.2  # at most five progress events a second


Watch = Callable[[TrainState, float], None]  # called after each update with its gradient norm before clipping


def train_epoch(
    state: TrainState, task: Task, config: TrainingConfig, on_event: OnEvent, watch: Watch | None = None
) -> dict[str, float]:
    """One pass over the training data; returns its mean loss and the gradient norms before clipping."""
    epoch = state.epoch + 1
    count, steps = task.steps(state.network, epoch)
    updates = -(-count // config.accumulate)
    falls = plateaus([bool(row["best"]) for row in state.history], config.plateau_patience)
    on_event(PhaseStarted(f"epoch {epoch}", task.total, task.unit))
    loss_sum, terms, done, reported = 0.0, 0, 0, time.perf_counter()
    norms: list[float] = []
    held: list[tuple[Gradients, float]] = []
    for i, step in enumerate(steps):
        held.append((step.gradients, step.weight))
        loss_M = step.gradients.loss_M
        loss = float(loss_M.sum())
        norm = 0.0
        if len(held) == config.accumulate or i + 1 == count:
            lr = factor(config, (epoch - 1) * updates + len(norms), config.epochs * updates, falls)
            norm = state.optimiser.step(state.network, combined(held), lr)
            norms.append(norm)
            held = []
            if watch is not None:
                watch(state, norm)
        if not (np.isfinite(loss) and np.isfinite(norm)):
            kept = f" (epoch {state.best_epoch} is kept)" if state.best_epoch else ""
            raise DivergedError(
                f"training diverged in epoch {epoch}, batch {i + 1}: loss {loss / max(1, loss_M.size):g}, gradient norm"
                f" {norm:g}; lower training.lr or training.clip_norm{kept}"
            )
        loss_sum, terms, done = loss_sum + loss, terms + loss_M.size, done + step.done
        state.tokens += step.tokens
        if time.perf_counter() - reported > REPORT_SECONDS:
            reported = time.perf_counter()
            on_event(Progressed(done, loss_sum / max(1, terms), epoch))
    on_event(Progressed(done, loss_sum / max(1, terms), epoch))
    clipped = float(np.mean(np.asarray(norms) > config.clip_norm)) if config.clip_norm > 0 else 0.0
    return {
        "train_loss": loss_sum / max(1, terms),
        "grad_norm_median": float(np.median(norms)),
        "grad_norm_max": float(np.max(norms)),
        "clipped_share": clipped,
    }


def combined(parts: list[tuple[Gradients, float]]) -> Gradients:
    """The gradients of the mean over several batches, each given with the weight of its loss terms."""
    if len(parts) == 1:
        return parts[0][0]
    total = sum(weight for _, weight in parts)
    dense_P = np.zeros_like(parts[0][0].dense_P)
    shares = [(g, dense_P.dtype.type(weight / total)) for g, weight in parts]
    for g, share in shares:
        dense_P += share * g.dense_P
    sparse = {}
    for name in parts[0][0].sparse:
        rows = np.unique(np.concatenate([g.sparse[name].rows_U for g, _ in parts]))
        values_UE = np.zeros((len(rows), parts[0][0].sparse[name].values_UE.shape[1]), dense_P.dtype)
        for g, share in shares:
            values_UE[np.searchsorted(rows, g.sparse[name].rows_U)] += share * g.sparse[name].values_UE
        sparse[name] = SparseRows(rows, values_UE)
    full = {
        name: sum((share * g.full[name] for g, share in shares), 0 * whole) for name, whole in shares[0][0].full.items()
    }
    return Gradients(np.concatenate([g.loss_M for g, _ in parts]), dense_P, sparse, full)


def fit(
    state: TrainState, task: Task, config: TrainingConfig, on_event: OnEvent, watch: Watch | None = None
) -> Iterator[dict[str, Any]]:
    """Train until config.epochs or until `patience` epochs brought nothing better; yields each row of history.jsonl.

    The state may come from a checkpoint: training goes on as if it had never stopped.
    """
    memory.keep_freed()
    while state.epoch < config.epochs and not _out_of_patience(state, config):
        started = time.perf_counter()
        row: dict[str, Any] = {"epoch": state.epoch + 1, **train_epoch(state, task, config, on_event, watch)}
        state.seconds += time.perf_counter() - started
        score = task.evaluate(state.network)
        state.epoch += 1
        row |= {f"valid_{name}": value for name, value in score.metrics.items()}
        row["best"] = state.consider(score, config.average_best)
        state.history.append(row)
        yield row


def _out_of_patience(state: TrainState, config: TrainingConfig) -> bool:
    return config.patience > 0 and state.epoch - state.best_epoch >= config.patience
