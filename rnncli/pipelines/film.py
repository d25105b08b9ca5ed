"""How gradients travel while a network learns (M23): the cheap measurements every N updates, into inspection.jsonl."""

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.artifacts.run_directory import (
    CHECKPOINT_NAME,
    FILM_NAME,
    HISTORY_NAME,
    MANIFEST_NAME,
    RunDirectory,
    in_use,
)
from rnncli.config.inspection import InspectConfig
from rnncli.errors import ArtifactError, UsageError
from rnncli.events import Note, OnEvent, ignore
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
POLL_SECONDS = 0.2  # between two looks of `follow`


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


def follow(run: Path, on_event: OnEvent = ignore, poll_seconds: float = POLL_SECONDS) -> Iterator[dict[str, Any]]:
    """The rows of a run's inspection.jsonl: those already there, then each as training writes it, until training ends.

    Only reads, and only whole lines. Of rows that a resumed run writes a second time, those from the first that differs
    come again. An unfinished run that nobody trains ends too, with a note. Raises UsageError where nothing is
    recorded, ArtifactError for a damaged row.
    """
    if not run.is_dir():
        raise UsageError(f"{run}: {'is a file' if run.exists() else 'no such folder'}; --follow needs a run folder")
    tail = _Tail(run / FILM_NAME)
    epochs, met, told, idle = _size(run / HISTORY_NAME), False, False, 0
    while True:
        trained = _trained(run)  # before reading: what is written after this look is read by the next one
        for number, line in tail.news():
            row = _row(tail.path, number, line)
            met = True
            yield row
        idle = 0 if trained else idle + 1
        over = idle > 1 or (idle > 0 and _finished(run))  # a run that just begins is given a second look
        if not met and (over or _size(run / HISTORY_NAME) > epochs):  # the first row comes before the first epoch
            raise UsageError(f"{run}: nothing is recorded here; train with --inspect-every N to have rows to follow")
        if over:
            break
        if not met and trained and not told:
            on_event(Note("waiting for the first row"))
            told = True
        time.sleep(poll_seconds)
    if not _finished(run):
        kept = "--resume goes on with it" if (run / CHECKPOINT_NAME).exists() else "it kept no checkpoint"
        on_event(Note(f"{run}: the run is unfinished and nobody trains it; {kept}"))


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not {"step", "epoch"} <= row.keys():
        raise ArtifactError(f"{path}:{number}: damaged; not a row of a film")
    return row


@dataclass
class _Tail:
    """The whole lines of a file that grows; when it is written anew, those from the first that differs."""

    path: Path
    shown: list[bytes] = field(default_factory=list)
    inode: int | None = None
    position: int = 0  # bytes read of it
    count: int = 0  # lines read of it

    def news(self) -> list[tuple[int, bytes]]:
        """The lines that came since the last call, with their numbers."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            self.inode = None
            return []
        with file:
            found = os.fstat(file.fileno())
            if found.st_ino != self.inode or found.st_size < self.position:
                self.inode, self.position, self.count = found.st_ino, 0, 0
            file.seek(self.position)
            lines = file.read().split(b"\n")[:-1]
        new = []
        for line in lines:
            if self.shown[self.count : self.count + 1] != [line]:
                self.shown[self.count :] = [line]
                new.append((self.count + 1, line))
            self.count += 1
            self.position += len(line) + 1
        return new


def _trained(run: Path) -> bool:
    """Whether somebody trains this run; where the system cannot tell, until it is finished."""
    used = in_use(run)
    return not _finished(run) if used is None else used


def _finished(run: Path) -> bool:
    """The manifest is the last that a run writes; then its checkpoint goes."""
    return (run / MANIFEST_NAME).exists() and not (run / CHECKPOINT_NAME).exists()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
