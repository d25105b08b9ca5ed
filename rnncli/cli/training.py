"""What the commands that train a recurrent network share: the run with its progress, and how its result is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from rnncli.cli.options import ProgressMode, given_flags, set_thread_environment

Load = Callable[[], tuple[Any, Callable[..., Any]]]  # imports and gives the config's class and the pipeline's run
Describe = Callable[[dict[str, Any]], str]


def train(
    load: Load,
    describe: Describe,
    output: Path,
    config: Path | None,
    set_: list[str] | None,
    seed: int | None,
    threads: int | None,
    resume: bool,
    force: bool,
    json: bool,
    progress: ProgressMode,
    quiet: bool,
    verbose: bool,
    inspect_every: int | None = None,
) -> None:
    """Read the recipe, train, and print the result; `describe` puts scores into a line."""
    set_thread_environment(threads)
    from rnncli.cli.progress import announce_compiling, show_progress
    from rnncli.cli.render import print_json
    from rnncli.config.load import load_config

    schema, run = load()
    recipe = load_config(schema, config, set_ or (), given_flags(seed=seed, threads=threads)).config
    with show_progress(progress, quiet, verbose) as on_event:
        announce_compiling(on_event, verbose)
        film = None
        if inspect_every is not None:
            from rnncli.pipelines.film import filming

            film = filming(recipe, inspect_every)
        result = run(recipe, output, force=force, resume=resume, on_event=on_event, film=film)
    if json:
        print_json(result.to_json())
        return
    typer.echo(f"best epoch {result.best_epoch} of {result.epochs}  valid {describe(result.valid)}")
    if result.test is not None:
        typer.echo(f"test {describe(result.test)}")
    typer.echo(
        f"{result.parameters:,} parameters  {result.train_seconds:.1f} s  {result.tokens_per_second:,.0f} tokens/s"
    )
    typer.echo(f"wrote {result.run}")
