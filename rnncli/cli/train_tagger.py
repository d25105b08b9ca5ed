"""rnncli train-tagger: a YAML recipe in, a run folder out."""

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


def train_tagger(
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
    """Train a recurrent tagger (a label at each token) from a YAML recipe.

    \b
    Examples:
      rnncli train-tagger -c configs/tagged.yaml -o runs/tagged
      rnncli train-tagger -c configs/tagged.yaml -o runs/small --set model.hidden_size=32 --seed 7
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
    from rnncli.config.sequences import TaggerConfig
    from rnncli.pipelines import train_tagger as pipeline

    return TaggerConfig, pipeline.run


def _scores(scores: dict[str, Any]) -> str:
    spans = f"  span F1 {scores['spans']['f1']:.4f}" if scores["spans"] else ""
    return f"token accuracy {scores['accuracy']:.4f}{spans}"
