"""rnncli info: what a model is made of."""

from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import JsonOpt


def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder or model file.")],
    length: Annotated[
        int | None, typer.Option("--length", min=1, metavar="N", help="Tokens of a text, for the cost line.")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """List a model's parameters, what of it is not trained, and what reading a text costs.

    \b
    Examples:
      rnncli info runs/sst2
      rnncli info runs/reviews --length 230 --json | jq .cost
    """
    from rnncli.cli.render import print_json, print_table
    from rnncli.pipelines import info as pipeline

    result = pipeline.run(model, length)
    if json:
        print_json(result.to_json())
        return
    rows = [(row.name, " x ".join(map(str, row.shape)), f"{row.count:,}", row.trainable) for row in result.parameters]
    print_table(f"{result.kind} {result.model}", ["parameter", "shape", "numbers", "trainable"], rows)
    typer.echo(f"\n{result.total:,} numbers, {result.trainable:,} of them trainable")
    for line in result.not_trained:
        typer.echo(f"not trained: {line}")
    if result.cost is not None:
        cost = result.cost
        typer.echo(
            f"a text of {cost.length} tokens: recurrence {cost.recurrence_flops / 1e6:,.3g} MFLOP (grows as L H^2),"
            f" self-attention of the same width {cost.attention_flops / 1e6:,.3g} MFLOP (L^2 H);"
            f" equal at {cost.crossing_length:,.0f} tokens"
        )
