"""rnncli train-lm: a YAML recipe in, a run folder out."""

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


def train_lm(
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
    """Train a recurrent language model of words or characters from a YAML recipe.

    \b
    Examples:
      rnncli train-lm -c configs/characters.yaml -o runs/characters
      rnncli train-lm -c configs/characters.yaml -o runs/words --set data.tokenizer=words --set model.cell=gru
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
    from rnncli.config.sequences import LanguageModelConfig
    from rnncli.pipelines import train_lm as pipeline

    return LanguageModelConfig, pipeline.run


def _scores(scores: dict[str, Any]) -> str:
    per_character = scores["bits_per_character"]
    bits = f"  {per_character:.4f} bits per character" if per_character is not None else ""
    return f"loss {scores['loss']:.4f} nats  perplexity {scores['perplexity']:.2f} per {scores['unit']}{bits}"
