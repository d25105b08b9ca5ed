"""How gradients travel while a network learns (M23): the cheap measurements every N updates, into inspection.jsonl."""

import math
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.artifacts.run_directory import FILM_NAME, RunDirectory
from rnncli.config.inspection import InspectConfig
from rnncli.inspection.inspect import Inspector, inspect
from rnncli.inspection.lyapunov import spectrum
from rnncli.inspection.probe import Probe
from rnncli.inspection.rollout import roll_out
from rnncli.pipelines.probes import Subject, probe_of
from rnncli.pipelines.recipes import RECIPES, RecipeConfig
from rnncli.pipelines.training_run import FilmMaker, Prepared
from rnncli.rnn.train_state import TrainState

SEQUENCES = 32
LONGEST = 128


@dataclass
class Camera:
    """Records a row every `every` updates, and one of the first values."""

    probe: Probe
    folder: RunDirectory
    every: int
    norms: list[float] = field(default_factory=list)  # since the last row

    def __call__(self, state: TrainState, norm: float) -> None:
        """After an update."""
        self.norms.append(norm)
        if state.optimiser.steps % self.every == 0:
            self.take(state.optimiser.steps, state.epoch + 1, state)

    def take(self, step: int, epoch: int, state: TrainState | None) -> None:
        """Measure and write a row."""
        probe = self.probe if state is None else replace(self.probe, network=state.network)
        self.folder.append_history({"step": step, "epoch": epoch, **measure(probe), **self._norms()}, FILM_NAME)

    def _norms(self) -> dict[str, Any]:
        finite = np.array([norm for norm in self.norms if isfinite(norm)])
        self.norms = []
        if not finite.size:
            return {"norm_p50": None, "norm_p99": None, "clip_fraction": None}
        clip = self.probe.training.clip_norm if self.probe.training is not None else 0.0
        p50, p99 = np.quantile(finite, [0.5, 0.99], method="inverted_cdf")
        clipped = float((finite > clip).mean()) if clip > 0 else None
        return {"norm_p50": float(p50), "norm_p99": float(p99), "clip_fraction": clipped}


def measure(probe: Probe) -> dict[str, Any]:
    """The numbers of one row."""
    report = inspect(replace(probe, training=None), Inspector("quick"))
    rollout = roll_out(probe.network, probe.data, probe.targets)
    lambdas = [spectrum(chain, rollout.offsets, 1, 1).values_K[0] for chain in rollout.chains]
    first = float(max(lambdas))
    worst = min(
        (layer for layer in report.layers if layer["layer"] == 0),
        key=lambda layer: (
            -math.inf if layer["gain_nats_per_step"]["total"] is None else layer["gain_nats_per_step"]["total"]
        ),
    )
    saturation = worst["saturation"]
    return {
        "need_lag_steps": report.verdict["need_lag_steps"],
        "ratio_at_need_log10": report.verdict["ratio_at_need_log10"],
        "half_life_steps": report.verdict["half_life_steps"]["value"],
        "gain": worst["gain_nats_per_step"]["total"],
        "weights": worst["gain_nats_per_step"]["weights"],
        "squash": worst["gain_nats_per_step"].get("squash", worst["gain_nats_per_step"].get("carry")),
        "rho": worst["weights"][-1]["rho"],
        "saturated": saturation.get("frac_abs_gt_0_9"),
        "lambda_1": first if isfinite(first) else None,
        "loss": report.input["loss"],
        "accuracy": report.input["accuracy"],
    }


def filming(config: RecipeConfig, every: int) -> FilmMaker:
    """What run_training is given to record a run of this recipe."""

    def film(ready: Prepared, folder: RunDirectory) -> Camera:
        task = next(task for task, recipe in RECIPES.items() if isinstance(config, recipe.schema))
        subject = Subject(ready.model(ready.network), RECIPES[task], config, True, {})  # type: ignore[arg-type]
        probe = probe_of(subject, None, InspectConfig(sequences=SEQUENCES, max_length=LONGEST))
        camera = Camera(probe, folder, every)
        if not folder.history(FILM_NAME):
            camera.take(0, 0, None)
        return camera

    return film


def film_of(run: Path | None) -> list[dict[str, Any]]:
    """What was recorded in a run folder; [] where nothing was."""
    if run is None or not run.is_dir():
        return []
    with RunDirectory(run) as folder:
        return folder.history(FILM_NAME)
