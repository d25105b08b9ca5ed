"""rnncli train-embeddings: text in, word vectors out."""

from pathlib import Path
from typing import Annotated

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
    init_from: Annotated[
        Path | None,
        typer.Option("--init-from", metavar="MODEL", help="Begin with the vectors of a run or any vector file."),
    ] = None,
    resume: ResumeOpt = False,
    force: ForceOpt = False,
    json: JsonOpt = False,
    progress: ProgressOpt = ProgressMode.AUTO,
    quiet: QuietOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Train word vectors from text: skip-gram, CBOW or GloVe.

    \b
    Examples:
      rnncli train-embeddings -c configs/embeddings.yaml -o runs/vectors
      zcat news.gz | rnncli train-embeddings --set corpus.paths=- --set dim=200 -o runs/news
      rnncli train-embeddings -c configs/glove.yaml --set corpus.paths='news/*.gz' -o runs/glove
    """
    set_thread_environment(threads)
    from rnncli.cli.progress import announce_compiling, show_progress
    from rnncli.cli.render import print_json
    from rnncli.config.embeddings import EmbeddingsConfig
    from rnncli.config.load import load_config
    from rnncli.pipelines import train_embeddings as pipeline

    recipe = load_config(
        EmbeddingsConfig, config, set_ or (), given_flags(seed=seed, threads=threads, init_from=init_from)
    ).config
    with show_progress(progress, quiet, verbose) as on_event:
        announce_compiling(on_event, verbose)
        result = pipeline.run(recipe, output, force=force, resume=resume, on_event=on_event)
    if json:
        print_json(result.to_json())
        return
    unit = {"skipgram": "nats per pair", "cbow": "nats per word", "glove": "per count"}[recipe.algorithm]
    held_out = "" if result.valid_loss is None else f", {result.valid_loss:.4f} on what was held out"
    typer.echo(
        f"{result.words:,} words x {result.dim}  {result.epochs} epochs  loss {result.loss:.4f} {unit}{held_out}"
    )
    if result.init_from is not None:
        old = result.init_from
        typer.echo(
            f"kept {old.kept:,} vectors, added {old.added:,}, moved {old.moved:,} (mean cosine with what they were"
            f" {old.mean_cosine:.3f})"
        )
    typer.echo(f"{result.train_seconds:.1f} s  {result.words_per_second:,.0f} words/s")
    typer.echo(f"wrote {result.run}")
