"""rnncli train-classifier: a YAML recipe in, a run folder out."""

import typer

from rnncli.cli.options import (
    ConfigOpt,
    ForceOpt,
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
    given_flags,
    set_thread_environment,
)


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
) -> None:
    """Train a recurrent text classifier from a YAML recipe.

    \b
    Examples:
      rnncli train-classifier -c configs/topics.yaml -o runs/topics
      rnncli train-classifier -c configs/reviews.yaml -o runs/reviews --set training.lr=5e-4 --seed 7
    """
    set_thread_environment(threads)
    from rnncli.cli.progress import announce_compiling, show_progress
    from rnncli.cli.render import print_json
    from rnncli.config.load import load_config
    from rnncli.config.rnn import ClassifierConfig
    from rnncli.pipelines import train_classifier as pipeline

    recipe = load_config(ClassifierConfig, config, set_ or (), given_flags(seed=seed, threads=threads)).config
    with show_progress(progress, quiet, verbose) as on_event:
        announce_compiling(on_event, verbose)
        result = pipeline.run(recipe, output, force=force, resume=resume, on_event=on_event)
    if json:
        print_json(result.to_json())
        return
    typer.echo(f"best epoch {result.best_epoch} of {result.epochs}  valid accuracy {result.valid['accuracy']:.4f}")
    if result.test is not None:
        typer.echo(f"test accuracy {result.test['accuracy']:.4f}  macro F1 {result.test['macro_f1']:.4f}")
    typer.echo(
        f"{result.parameters:,} parameters  {result.train_seconds:.1f} s  {result.tokens_per_second:,.0f} tokens/s"
    )
    typer.echo(f"wrote {result.run}")
