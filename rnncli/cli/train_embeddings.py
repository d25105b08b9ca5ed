"""rnncli train-embeddings: text in, word vectors out."""

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


def train_embeddings(
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
    """Train word vectors from text: skip-gram or CBOW.

    \b
    Examples:
      rnncli train-embeddings -c configs/embeddings.yaml -o runs/vectors
      zcat news.gz | rnncli train-embeddings --set corpus.paths=- --set dim=200 -o runs/news
    """
    set_thread_environment(threads)
    from rnncli.cli.progress import announce_compiling, show_progress
    from rnncli.cli.render import print_json
    from rnncli.config.embeddings import EmbeddingsConfig
    from rnncli.config.load import load_config
    from rnncli.pipelines import train_embeddings as pipeline

    recipe = load_config(EmbeddingsConfig, config, set_ or (), given_flags(seed=seed, threads=threads)).config
    with show_progress(progress, quiet, verbose) as on_event:
        announce_compiling(on_event, verbose)
        result = pipeline.run(recipe, output, force=force, resume=resume, on_event=on_event)
    if json:
        print_json(result.to_json())
        return
    typer.echo(f"{result.words:,} words x {result.dim}  {result.epochs} epochs  loss {result.loss:.4f} nats per pair")
    typer.echo(f"{result.train_seconds:.1f} s  {result.words_per_second:,.0f} words/s")
    typer.echo(f"wrote {result.run}")
