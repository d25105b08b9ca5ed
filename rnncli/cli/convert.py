"""rnncli convert: word vectors from one file format to another."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import JsonOpt, QuietOpt


class Target(StrEnum):
    """The formats that are written."""

    WORD2VEC_TEXT = "word2vec-text"
    WORD2VEC_BIN = "word2vec-bin"
    GLOVE = "glove"
    FASTTEXT_VEC = "fasttext-vec"
    RNNCLI = "rnncli"


def convert(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Run folder, model file, or any file of word vectors; - reads one.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="File to write; - writes text to standard output.")],
    to: Annotated[
        Target | None,
        typer.Option("--to", help="Format; else by suffix: .txt word2vec-text, .bin, .vec, .safetensors (rnncli)."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Damage in MODEL is an error, not a note.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUTPUT.")] = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Convert word vectors: word2vec text and binary, GloVe, fastText .vec, and rnncli's own model file.

    MODEL is known by its content, compressed or not. An OUTPUT that ends in .gz is compressed.

    \b
    Examples:
      rnncli convert runs/vectors vectors.bin
      rnncli convert glove.6B.100d.txt glove.safetensors
      rnncli convert vectors.bin - --to glove | head
    """
    import sys

    from rnncli.cli.progress import show_progress
    from rnncli.cli.render import print_json, printable
    from rnncli.errors import UsageError
    from rnncli.pipelines import convert as pipeline

    piped = output == Path("-")
    if piped and json:
        raise UsageError("--json and the vectors cannot both go to standard output; name an output file")
    with show_progress("none", quiet) as on_event:
        result = pipeline.run(
            model,
            output,
            to.value if to is not None else None,
            strict=strict,
            force=force,
            standard_output=sys.stdout.buffer if piped else None,
            on_event=on_event,
        )
    if json:
        print_json(result.to_json())
    elif not (piped and quiet):
        typer.echo(
            f"{result.words:,} words x {result.dim}  {result.source_format} -> {result.format}"
            f"{'' if piped else f'  wrote {printable(result.output)}'}",
            err=piped,
        )
