"""rnncli predict: lines in, one JSON object out per line."""

from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import ThreadsOpt, set_thread_environment


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder or model file of a recurrent network.")],
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Text lines or jsonl; - is standard input.")] = Path(
        "-"
    ),
    text_column: Annotated[str, typer.Option("--text-column", help="Key of the text in jsonl.")] = "text",
    line_by_line: Annotated[
        bool, typer.Option("--line-by-line", help="Answer every line at once: slower, for pipes that stay open.")
    ] = False,
    threads: ThreadsOpt = None,
) -> None:
    """Label texts or their tokens: one JSON object per line on standard output, in the order of the lines.

    \b
    Examples:
      cut -f2 sample_data/topics.test.tsv | rnncli predict runs/topics -
      echo "The train leaves at noon ." | rnncli predict runs/topics -
    """
    set_thread_environment(threads)
    import sys

    from rnncli.cli.render import print_json_line
    from rnncli.data.readers import read_texts
    from rnncli.pipelines import predict as pipeline

    texts = (line.text for line in read_texts(file, text_column))
    for row in pipeline.run(model, texts, chunk=1 if line_by_line else pipeline.CHUNK_TEXTS):
        print_json_line(row)
        if line_by_line:
            sys.stdout.flush()
