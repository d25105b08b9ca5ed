"""rnncli train-classifier: a YAML recipe in, a run folder out."""

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


def train_classifier(
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
    """Train a recurrent text classifier from a YAML recipe.

    \b
    Examples:
      rnncli train-classifier -c configs/topics.yaml -o runs/topics
      rnncli train-classifier -c configs/reviews.yaml -o runs/reviews --set training.lr=5e-4 --seed 7
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
    from rnncli.config.rnn import ClassifierConfig
    from rnncli.pipelines import train_classifier as pipeline

    return ClassifierConfig, pipeline.run


def _scores(scores: dict[str, Any]) -> str:
    if not scores["confusion"]:
        return f"micro F1 {scores['micro']['f1']:.4f}  macro F1 {scores['macro_f1']:.4f}"
    return f"accuracy {scores['accuracy']:.4f}  macro F1 {scores['macro_f1']:.4f}"
