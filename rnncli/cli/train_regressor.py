"""rnncli train-regressor: a YAML recipe in, a run folder out."""

from typing import Any

from rnncli.cli.options import (
    ConfigOpt,
    ForceOpt,
    InspectEveryOpt,
    JsonOpt,
    OutputOpt,
    ProgressMode,
    ProgressOpt,
    QuietOpt,
    ResumeOpt,
    SeedOpt,
    SetOpt,
    ThreadsOpt,
    VerboseOpt,
)
from rnncli.cli.training import train


def train_regressor(
    output: OutputOpt,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    seed: SeedOpt = None,
    threads: ThreadsOpt = None,
    resume: ResumeOpt = False,
    force: ForceOpt = False,
    json: JsonOpt = False,
    progress: ProgressOpt = ProgressMode.AUTO,
    quiet: QuietOpt = False,
    verbose: VerboseOpt = False,
    inspect_every: InspectEveryOpt = None,
) -> None:
    """Train a recurrent network that gives numbers: for texts, series, or the next steps of a table from a YAML recipe.

    \b
    Examples:
      rnncli train-regressor -c configs/forecast.yaml -o runs/forecast
      rnncli train-regressor -c configs/adding.yaml -o runs/adding --set data.length=50
    """
    train(
        _load,
        _scores,
        output,
        config,
        set_,
        seed,
        threads,
        resume,
        force,
        json,
        progress,
        quiet,
        verbose,
        inspect_every,
    )


def _load() -> tuple[Any, Any]:
    from rnncli.config.regression import RegressorConfig
    from rnncli.pipelines import train_regressor as pipeline

    return RegressorConfig, pipeline.run


def _scores(scores: dict[str, Any]) -> str:
    others = "".join(f"  ({name} {own['mse']:.4g})" for name, own in (scores["baselines"] or {}).items())
    r2 = f"  R2 {scores['r2']:.4f}" if scores["r2"] is not None else ""
    return f"MSE {scores['mse']:.4g}{others}  MAE {scores['mae']:.4g}{r2}"
