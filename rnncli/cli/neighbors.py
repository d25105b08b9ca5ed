"""rnncli neighbors: the words nearest to a word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import JsonOpt, ThreadsOpt, set_thread_environment


def neighbors(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder, model file or any word-vector file.")],
    words: Annotated[list[str], typer.Argument(metavar="WORD...|-", help="Words; - reads one a line.")],
    k: Annotated[int, typer.Option("--top", "-k", min=1, metavar="N", help="How many neighbours.")] = 10,
    json: JsonOpt = False,
    threads: ThreadsOpt = None,
) -> None:
    """List the words nearest to each word by cosine similarity.

    With --json one object per word, found or not, in the order asked.

    \b
    Examples:
      rnncli neighbors runs/vectors paris rome
      cut -f1 words.tsv | rnncli neighbors runs/vectors - --top 3 --json
    """
    set_thread_environment(threads)
    import sys

    from rnncli.cli.render import print_json_line, print_table, printable
    from rnncli.data.arrivals import arriving_lines
    from rnncli.errors import CheckFailedError
    from rnncli.pipelines import neighbors as pipeline

    def batches() -> Iterator[list[str]]:
        for word in words:
            if word == "-":
                yield from ([text.strip() for _, text in lines] for lines in arriving_lines(Path("-")))
            else:
                yield [word]

    asked = found = 0
    for result in pipeline.run(model, batches(), k, threads or 0):
        asked, found = asked + 1, found + result.found
        if json:
            print_json_line(result.to_json())
        elif result.found:
            print_table(result.query, ["word", "cosine"], [(n.word, n.similarity) for n in result.neighbors])
            typer.echo("")
        else:
            typer.echo(f"{printable(result.query)}: not in the vocabulary\n")
        if "-" in words:
            sys.stdout.flush()  # whoever writes our input may wait for the answer
    if asked and not found and not json:
        raise CheckFailedError(f"none of the {asked} words has a vector; try other words or another model")
