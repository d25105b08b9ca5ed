"""rnncli neighbors: the words nearest to a word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import JsonOpt


def neighbors(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder or model file of train-embeddings.")],
    words: Annotated[list[str], typer.Argument(metavar="WORD...|-", help="Words; - reads one a line.")],
    k: Annotated[int, typer.Option("--top", "-k", min=1, metavar="N", help="How many neighbours.")] = 10,
    json: JsonOpt = False,
) -> None:
    """List the words nearest to each word by cosine similarity.

    With --json one object per word, found or not, in the order asked.

    \b
    Examples:
      rnncli neighbors runs/vectors paris rome
      cut -f1 words.tsv | rnncli neighbors runs/vectors - --top 3 --json
    """
    from rnncli.cli.render import print_json_line, print_table
    from rnncli.data.readers import read_texts
    from rnncli.errors import CheckFailedError
    from rnncli.pipelines import neighbors as pipeline

    def queries() -> Iterator[str]:
        for word in words:
            if word == "-":
                yield from (line.text.strip() for line in read_texts(Path("-")))
            else:
                yield word

    missing = []
    for result in pipeline.run(model, queries(), k):
        if not result.found:
            missing.append(result.query)
        if json:
            print_json_line(result.to_json())
        elif result.found:
            print_table(result.query, ["word", "cosine"], [(n.word, n.similarity) for n in result.neighbors])
            typer.echo("")
        else:
            typer.echo(f"{result.query}: not in the vocabulary\n")
    if missing and not json and len(missing) == len(words):
        raise CheckFailedError(f"none of the {len(missing)} words has a vector; try other words or another model")
