"""A planted dependency: how far back can a recipe's network learn to look, when that is all there is to learn?

One of four class tokens is read `lag` steps before the end, all else is drawn at random; wanted is the class. The network has
the cell, sizes, first values, batches and update rule of the recipe, and reads out its last state; what the recipe adds to
them (further directions, pooling, dropout, features, a schedule of the learning rate) is left out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.pipelines.recipes import RecipeConfig
from rnncli.pipelines.training_run import Prepared
from rnncli.rnn.init import Start
from rnncli.rnn.network import Gradients, Network
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.packing import Sequences, pack
from rnncli.rnn.truncation import tail_gradients

CLASSES = 4
ACCURACY = 0.9  # above it the lag counts as learned
UPDATES, FEWEST_UPDATES = 300, 100
TOKENS = 3_000_000  # a run at the longest lag reads no more, but for FEWEST_UPDATES
LEVELS = np.array([-8.0, -4.0, 4.0, 8.0], np.float32)  # the classes where numbers are read; noise has the deviation 1

Drawn = tuple[Sequences, NDArray[np.int32]]  # rows one after the other, and the class of each


@dataclass(frozen=True)
class Goal:
    """Something is learned when the running mean of a score, `start` before the first batch, lies above `above`."""

    start: float
    above: float
    smooth: float = 0.9  # weight of what was


def updates_to_learn(
    network: Network,
    optimiser: Optimiser,
    read: Callable[[int], tuple[Gradients, float]],
    budget: int,
    goal: Goal,
) -> int | None:
    """Train until the goal is met; the number of updates, None where `budget` were not enough or numbers ran away.

    `read` gives the gradients and the score of batch 1, 2, ..., both of the network as it is before the update.
    """
    mean = goal.start
    for update in range(1, budget + 1):
        gradients, score = read(update)
        if not math.isfinite(optimiser.step(network, gradients)):
            return None
        mean = goal.smooth * mean + (1.0 - goal.smooth) * score
        if mean > goal.above:
            return update
    return None


def planted_lags(need: int) -> list[int]:
    """A quarter of the needed lag, half of it, all of it; those that differ."""
    return sorted({max(1, need // 4), max(1, need // 2), max(1, need)})


def rows_of(config: RecipeConfig) -> int:
    """Rows of an update."""
    return config.training.batch_size * config.training.accumulate


def budget_of(rows: int, need: int) -> int:
    """Updates of a run: 300, fewer where the longest lag would read more than 3 million tokens, never under 100."""
    return min(UPDATES, max(FEWEST_UPDATES, TOKENS // (rows * (need + 1))))


def draw_tokens(seed: int, lag: int, update: int, rows: int, counts_V: NDArray[np.int64]) -> Drawn:
    """A class token, then `lag` tokens drawn as often as `counts_V` says; class c is the token V + c.

    A pure function of its arguments: whatever learns from it sees the same rows.
    """
    key = rng.key(seed, rng.Stream.PROBE, epoch=update, part=lag)
    classes = np.floor(rng.uniforms(key, rows) * CLASSES).astype(np.int32)
    ends_V = np.cumsum(counts_V)
    places = np.floor(rng.uniforms(key, rows * lag, start=rows) * ends_V[-1])
    ids = np.empty((rows, lag + 1), np.int32)
    ids[:, 0] = counts_V.size + classes
    ids[:, 1:] = np.searchsorted(ends_V, places, side="right").reshape(rows, lag)
    return Sequences.of_texts(ids.reshape(-1), np.arange(rows + 1, dtype=np.int64) * (lag + 1)), classes


def draw_numbers(seed: int, lag: int, update: int, rows: int, inputs: int) -> Drawn:
    """The same for numeric series: standard normal noise in every channel, but for the first number of channel 0.

    That one is a level beyond the noise, -8, -4, 4 or 8, which is the class.
    """
    key = rng.key(seed, rng.Stream.PROBE, epoch=update, part=lag)
    n = rows * (lag + 1) * inputs
    values = rng.normals(key, n).astype(np.float32).reshape(rows, lag + 1, inputs)
    classes = np.floor(rng.uniforms(key, rows, start=2 * n) * CLASSES).astype(np.int32)
    values[:, 0, 0] = LEVELS[classes]
    lengths = np.full(rows, lag + 1, np.int64)
    return Sequences(np.cumsum(lengths) - lengths, lengths, values=values.reshape(-1, inputs)), classes


def planted_network(own: Network, config: RecipeConfig) -> Network:
    """The recipe's network as a classifier of planted rows, with first values; the tokens' vectors are those of `own`."""
    spec = replace(
        own.spec, vocabulary=0 if own.spec.inputs else own.spec.vocabulary + CLASSES, classes=CLASSES, head="multiclass",
        pooling="last", bidirectional=False, dropout=0.0, features=0, feature_rows=0, feature_dim=0, tied=False,
    )  # fmt: skip
    network = Network(spec)
    network.initialise(Start.of(config.model), config.seed)
    if not spec.inputs:
        table, known = network.embedding_VE, own.embedding_VE
        size = float(np.sqrt(np.mean(np.square(known, dtype=np.float64))))
        drawn = float(np.sqrt(np.mean(np.square(table, dtype=np.float64))))
        table[: len(known)] = known
        table[len(known) :] *= np.float32(size / drawn)  # pretrained vectors may be longer than drawn ones
    return network


def reader(
    network: Network, draw: Callable[[int], Drawn], steps: int | None
) -> Callable[[int], tuple[Gradients, float]]:
    """For updates_to_learn: the share of a batch that is named right; gradients go back `steps` tokens, None: all."""

    def read(update: int) -> tuple[Gradients, float]:
        data, classes = draw(update)
        rows = np.arange(data.n)
        batch = pack(data, rows)
        targets = classes[batch.rows_B]
        cut = steps is not None and steps < int(data.lengths.max())
        out = network.forward(batch, keep=not cut)
        right = float(np.mean(out.logits_MC.argmax(axis=1) == targets))
        if steps is None or not cut:
            return network.backward(out, batch, targets), right
        return tail_gradients(network, data, rows, steps, classes, None, None, 0.0)[0], right

    return read


def learn(ready: Prepared, config: RecipeConfig, lag: int, budget: int) -> int | None:
    """Updates that one run of a recipe needs to learn the planted lag; `ready` has its first values still."""
    network = planted_network(ready.network, config)
    optimiser = Optimiser(config.training, network, config.embeddings.trainable)
    vocab, rows, inputs = getattr(ready.model(ready.network), "vocab", None), rows_of(config), network.spec.inputs

    def draw(update: int) -> Drawn:
        if inputs:
            return draw_numbers(config.seed, lag, update, rows, inputs)
        assert vocab is not None
        return draw_tokens(config.seed, lag, update, rows, vocab.counts)

    read = reader(network, draw, config.training.bptt_steps)
    return updates_to_learn(network, optimiser, read, budget, Goal(1.0 / CLASSES, ACCURACY))


def summary(
    runs: Mapping[str, Mapping[int, Sequence[int | None]]], budget: int, promised: Mapping[str, float | None]
) -> dict[str, Any]:
    """What goes into the document, from the updates of every arm, lag and seed.

    The prediction held when of two arms that reach unlike far the one that reaches farther had `promised` more, of all pairs
    with unlike promises.
    """
    arms = [_arm(name, lags) for name, lags in runs.items()]
    reach = {arm["name"]: arm["learned_reach_steps"] or 0 for arm in arms}
    size = {name: -math.inf if promise is None else promise for name, promise in promised.items()}
    judged = [reach[a] > reach[b] for a, b in permutations(reach, 2) if size[a] > size[b] and reach[a] != reach[b]]
    return {
        "classes": CLASSES,
        "budget_updates": budget,
        "accuracy": ACCURACY,
        "lags": list(next(iter(runs.values()))),
        "arms": arms,
        "order_held": all(judged) if judged else None,
    }


def _arm(name: str, lags: Mapping[int, Sequence[int | None]]) -> dict[str, Any]:
    rows, reach = [], None
    for lag, updates in lags.items():
        learned = [n for n in updates if n is not None]
        most = 2 * len(learned) > len(updates)
        reach = lag if most else reach
        median = float(np.median([math.inf if n is None else n for n in updates])) if most else None
        rows.append({"lag": lag, "learned": len(learned), "seeds": len(updates), "median_updates": median})
    return {"name": name, "lags": rows, "learned_reach_steps": reach}
