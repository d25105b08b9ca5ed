"""rnncli generate: text from a language model, as it is written."""

from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import JsonOpt, SeedOpt, ThreadsOpt, set_thread_environment


def generate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder or model file of train-lm.")],
    prompt: Annotated[
        str | None, typer.Argument(metavar="[PROMPT]", help="Text to go on from; - reads it from standard input.")
    ] = None,
    length: Annotated[int, typer.Option("--length", "-n", min=1, metavar="N", help="Tokens to write.")] = 200,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, help="Below 1 safer, above 1 bolder; 0 takes the likeliest.")
    ] = 1.0,
    top_k: Annotated[
        int, typer.Option("--top-k", min=0, metavar="K", help="Choose among the K likeliest tokens; 0: all.")
    ] = 0,
    top_p: Annotated[
        float, typer.Option("--top-p", min=0.0, max=1.0, help="Choose among the likeliest tokens of this probability.")
    ] = 1.0,
    seed: SeedOpt = None,
    stop_at_line: Annotated[bool, typer.Option("--stop-at-line", help="End where the line ends.")] = False,
    only_new: Annotated[bool, typer.Option("--only-new", help="Do not repeat the prompt.")] = False,
    unknown: Annotated[bool, typer.Option("--unknown", help="Let the unknown token be chosen too.")] = False,
    json: JsonOpt = False,
    threads: ThreadsOpt = None,
) -> None:
    """Write text with a language model; the same seed writes the same text.

    \b
    Examples:
      rnncli generate runs/characters "The train " --temperature 0.7 --seed 3
      echo "The station" | rnncli generate runs/characters - --length 80 --top-p 0.9
    """
    set_thread_environment(threads)
    import sys

    from rnncli.cli.render import print_json
    from rnncli.pipelines import generate as pipeline
    from rnncli.rnn.generation import Sampling

    how = Sampling(temperature, top_k, top_p, 1 if seed is None else seed, unknown)
    writer = pipeline.run(model, how, length, stop_at_line)
    begin = prompt or ""
    if prompt == "-":
        begin = sys.stdin.read().removesuffix("\n")
    if json:
        text = "".join(writer.after(begin))
        print_json({"prompt": begin, "text": text, "seed": how.seed})
        return
    if not only_new:
        typer.echo(begin, nl=False)
    for piece in writer.after(begin):
        typer.echo(piece, nl=False)
        sys.stdout.flush()
    typer.echo("")
