"""A race between a recipe and changes of it, over seeds: the prediction is written first, then it is put to the test.

Seeds are paired: every arm of a seed sees the same rows in the same order. A difference counts when its 95 % interval
(Student's t over seeds) leaves out 0. Beside the race every arm learns a planted dependency (planted.py).
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnncli.config.inspection import InspectConfig
from rnncli.errors import DivergedError, UsageError
from rnncli.events import Note, OnEvent, ignore
from rnncli.inspection.inspect import Inspector, inspect
from rnncli.inspection.probe import Probe
from rnncli.pipelines import planted
from rnncli.pipelines.probes import Subject, probe_of
from rnncli.pipelines.recipes import Recipe, RecipeConfig
from rnncli.pipelines.training_run import Prepared
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.train_state import TrainState
from rnncli.rnn.training import fit
from rnncli.rnn.warmup import prepare

# Student's t, 97.5 %, by degrees of freedom 1 .. 30; beyond that 1.96 is near enough
T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110,
    2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
LEAST_SEEDS = 2


@dataclass
class Arm:
    """One side of the race. Losses are those of the best epoch on the validation rows."""

    name: str
    change: dict[str, Any]
    predicted_ratio_log10: float | None
    losses: list[float] = field(default_factory=list)
    ratios_log10: list[float | None] = field(default_factory=list)  # R(N) after training
    seconds: list[float] = field(default_factory=list)
    diverged: int = 0
    planted: dict[int, list[int | None]] = field(default_factory=dict)  # updates to learn each lag, by seed
    predicted_share_log10: float | None = None  # of the inputs at N

    def to_json(self) -> dict[str, Any]:
        """For the document."""
        finite = [r for r in self.ratios_log10 if r is not None]
        return {
            "name": self.name,
            "change": self.change,
            "predicted_ratio_at_need_log10": self.predicted_ratio_log10,
            "predicted_input_share_at_need_log10": self.predicted_share_log10,
            "losses": self.losses,
            "loss_mean": float(np.mean(self.losses)),
            "loss_best": min(self.losses),
            "loss_worst": max(self.losses),
            "ratios_at_need_log10": self.ratios_log10,
            "ratio_at_need_log10": float(np.median(finite)) if finite else None,
            "diverged": self.diverged,
            "seconds": round(float(np.mean(self.seconds)), 2),
        }


def changed(config: RecipeConfig, change: dict[str, Any]) -> RecipeConfig:
    """The recipe with other values at dotted keys. Raises ValueError where they do not fit."""
    tree = config.model_dump()
    for key, value in change.items():
        *sections, name = key.split(".")
        at = tree
        for section in sections:
            at = at[section]
        at[name] = value
    return type(config)(**tree)


def race(
    recipe: Recipe,
    config: RecipeConfig,
    arms: Sequence[Arm],
    need: int,
    seeds: int,
    epochs: int | None = None,
    on_event: OnEvent = ignore,
) -> dict[str, Any]:
    """Train every arm with every seed, on its own data and on planted rows, and compare; arms[0] is the recipe as it is."""
    if seeds < LEAST_SEEDS:
        raise UsageError(f"--seeds {seeds}: an interval needs at least {LEAST_SEEDS}")
    prediction = predict(arms, need)
    lags, updates = planted.planted_lags(need), planted.budget_of(planted.rows_of(config), need)
    for seed in range(config.seed, config.seed + seeds):
        for arm in arms:
            budget = {"training.epochs": epochs, "training.patience": 0} if epochs is not None else {}
            own = changed(config, {**arm.change, **budget, "seed": seed})
            ready = recipe.prepare(own, ignore)
            for lag in lags:
                arm.planted.setdefault(lag, []).append(planted.learn(ready, own, lag, updates))
            _run(recipe, own, ready, arm, need)
            on_event(Note(f"seed {seed}  {arm.name}: loss {arm.losses[-1]:.4g}"))
    return {
        "prediction": prediction,
        "need_lag_steps": need,
        "seeds": seeds,
        "arms": [arm.to_json() for arm in arms],
        "results": [compare(arms[0], arm) for arm in arms[1:]],
        "planted": planted.summary(
            {arm.name: arm.planted for arm in arms}, updates, {arm.name: arm.predicted_share_log10 for arm in arms}
        ),
    }


def predict(arms: Sequence[Arm], need: int) -> dict[str, Any]:
    """What first values promise, before anything is trained: of the loss by the ratio at N, of the reach by the share."""
    better = [arm.name for arm in arms[1:] if _size(arm.predicted_ratio_log10) > _size(arms[0].predicted_ratio_log10)]
    listed = ", ".join(f"{arm.name} {_power(arm.predicted_ratio_log10)}" for arm in arms)
    said = f"{' and '.join(better)} will reach a lower loss" if better else "no arm will reach a lower loss"
    text = f"ratio at lag {need} before training: {listed}; so {said}"
    if all(arm.predicted_ratio_log10 is None for arm in arms):
        text = f"no gradient was measured {need} steps back before training; so {said}"
    promised = {arm.name: arm.predicted_share_log10 for arm in arms}
    order = (
        sorted(promised, key=lambda name: -_size(promised[name]))
        if any(value is not None for value in promised.values())
        else []
    )
    if order:
        shares = ", then ".join(f"{name} {_power(promised[name])}" for name in order)
        text += (
            f". By its share of the inputs at that lag a planted class will be learned from farthest back by {shares}"
        )
    return {"text": text, "better": better, "order": order}


def _size(log10: float | None) -> float:
    return -math.inf if log10 is None else log10


def _power(log10: float | None) -> str:
    return "0" if log10 is None else f"10^{log10:.1f}"


def _run(recipe: Recipe, config: RecipeConfig, ready: Prepared, arm: Arm, need: int) -> None:
    prepare(ready.network.spec, config.training)
    probe = probe_of(
        Subject(ready.model(ready.network), recipe, config, True, {}),  # type: ignore[arg-type]
        None, InspectConfig(sequences=32, need=need),
    )  # fmt: skip
    state = TrainState(ready.network, Optimiser(config.training, ready.network, config.embeddings.trainable))
    started = time.perf_counter()
    first = ready.task.evaluate(ready.network).metrics["loss"]
    losses = [first]
    try:
        for row in fit(state, ready.task, config.training, ignore):
            losses.append(row["valid_loss"])
    except DivergedError:
        arm.diverged += 1
    arm.seconds.append(time.perf_counter() - started)
    arm.losses.append(min(loss for loss in losses if math.isfinite(loss)))
    arm.ratios_log10.append(_ratio(replace(probe, network=state.best_network() if state.kept else ready.network)))


def _ratio(probe: Probe) -> float | None:
    """log10 R(N) of one loss a sequence."""
    value: float | None = inspect(replace(probe, training=None), Inspector("quick")).verdict["ratio_at_need_log10"]
    return value


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval over paired differences."""
    values = np.array(differences, np.float64)
    mean = float(values.mean())
    t = T_975[min(values.size - 1, len(T_975)) - 1]
    half = t * float(values.std(ddof=1)) / math.sqrt(values.size)
    return mean, mean - half, mean + half


def compare(base: Arm, arm: Arm) -> dict[str, Any]:
    """PROVED, WORSE, GRADIENT BETTER BUT LOSS NOT, or NOT PROVED."""
    mean, low, high = interval([a - b for a, b in zip(arm.losses, base.losses, strict=True)])
    pairs = [
        (a, b) for a, b in zip(arm.ratios_log10, base.ratios_log10, strict=True) if a is not None and b is not None
    ]
    gradient = interval([a - b for a, b in pairs]) if len(pairs) >= LEAST_SEEDS else None
    if high < 0:
        label = "PROVED"
    elif low > 0:
        label = "WORSE"
    else:
        label = "GRADIENT BETTER BUT LOSS NOT" if gradient is not None and gradient[1] > 0 else "NOT PROVED"
    return {
        "arm": arm.name,
        "baseline": base.name,
        "metric": "validation loss of the best epoch",
        "mean": mean,
        "ci95": [low, high],
        "ratio_log10_mean": gradient[0] if gradient else None,
        "ratio_log10_ci95": [gradient[1], gradient[2]] if gradient else None,
        "label": label,
        "predicted_better": _size(arm.predicted_ratio_log10) > _size(base.predicted_ratio_log10),
        "observed_better": high < 0,
    }
