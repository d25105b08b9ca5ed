"""A model, a recipe or a synthetic task -> how its gradients travel back through time."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnncli.config.inspection import InspectConfig
from rnncli.errors import UsageError
from rnncli.events import OnEvent, ignore
from rnncli.inspection.advice import with_predictions
from rnncli.inspection.inspect import Inspection, Inspector, inspect_closely
from rnncli.inspection.probe import Probe
from rnncli.inspection.what_if import what_if
from rnncli.kernels._jit import set_threads
from rnncli.pipelines.film import film_of
from rnncli.pipelines.probes import Subject, probe_of, subject_of, synthetic_probe
from rnncli.pipelines.prove import Arm, race

ARMS = {
    "orthogonal": "rnn, orthogonal", "irnn": "IRNN (relu, identity)", "lstm": "lstm, forget bias 1",
    "lstm-chrono": "lstm, chrono", "gru": "gru", "gru-chrono": "gru, chrono",
}  # fmt: skip
SEEDS = 5  # runs of each arm
BY_DEFAULT = ("irnn", "lstm")  # arms of a race where none are named


@dataclass(frozen=True)
class Extras:
    """What is wanted besides the measurements."""

    what_if: bool = False
    prove: bool = False
    arms: tuple[str, ...] = ()
    seeds: int = SEEDS
    epochs: int | None = None  # of each run of a race; None: as the recipe says


def run(
    model: Path | None,
    file: Path | None,
    config: InspectConfig,
    *,
    threads: int = 0,
    extras: Extras = Extras(),
    on_event: OnEvent = ignore,
) -> Inspection:
    """Inspect `model` (run folder, model file or YAML recipe) on sequences of `file`, or a fresh network on config.probe.

    Raises UsageError, CorpusError, ArtifactError.
    """
    if unknown := [arm for arm in extras.arms if arm not in ARMS]:
        raise UsageError(f"--arms {unknown[0]}: unknown; choose from {', '.join(ARMS)}")
    if len(set(extras.arms)) < len(extras.arms):
        raise UsageError(f"--arms {','.join(extras.arms)}: an arm is named twice")
    how = Inspector(config.level, config.seed, set_threads(threads), config.max_lag, config.as_trained)
    subject = None
    if config.probe is not None:
        if model is not None or file is not None:
            raise UsageError("--probe draws its own sequences for a fresh network; leave MODEL and FILE out")
        if config.kind is not None:
            raise UsageError("--kind: says what a recipe trains; --probe draws a task, leave one of the two out")
        if extras.prove:
            raise UsageError("--prove needs a recipe or a trained run, whose training it repeats")
        probe = synthetic_probe(config)
    else:
        if model is None:
            raise UsageError("name a run folder, a model file or a recipe, or a task (--probe recall)")
        subject = subject_of(model, on_event, config.kind)
        if extras.prove and subject.recipe is None:
            raise UsageError("--prove: this model does not say by what recipe it was trained; name the recipe instead")
        probe = probe_of(subject, file, config)
    if config.as_trained and probe.training_bptt is None:
        raise UsageError(
            "--as-trained: training goes back to the beginning of each sequence; there is no window to count"
        )
    if config.as_trained and probe.bptt_at_ends:
        raise UsageError(
            "--as-trained: training goes back from the end of each sequence, not in windows; use --max-lag"
        )
    inspection = inspect_closely(probe, how)
    result = replace(inspection.result, trajectory=film_of(model))
    need = inspection.evidence.need
    if extras.what_if or extras.prove:
        table = what_if(probe, need, config.seed)
        advice = with_predictions(result.verdict["advice"], table)
        result = replace(result, what_if=table, verdict={**result.verdict, "advice": advice})
    if extras.prove:
        assert subject is not None
        result = replace(
            result, prove=_prove(subject, replace(probe, need=need), config.seed, result.what_if, extras, on_event)
        )
    return replace(inspection, result=result)


def _prove(
    subject: Subject, probe: Probe, seed: int, table: list[dict[str, Any]], extras: Extras, on_event: OnEvent
) -> dict[str, Any]:
    """Race the recipe against the named arms."""
    assert subject.recipe is not None
    assert subject.config is not None
    assert probe.need is not None
    if probe.trained:  # the race begins from first values, those of the tables too
        first = subject.recipe.prepare(subject.config, on_event).network
        table = what_if(replace(probe, network=first, trained=False), probe.need, seed)
    rows = {"as it is": table[0]}
    for name in extras.arms or BY_DEFAULT:
        rows[name] = next(row for row in table if row["name"].startswith(ARMS[name]))
    arms = [
        Arm(name, row["change"], row["ratio_at_need_log10"], predicted_share_log10=row["input_share_at_need_log10"])
        for name, row in rows.items()
    ]
    return race(subject.recipe, subject.config, arms, probe.need, extras.seeds, extras.epochs, on_event)
