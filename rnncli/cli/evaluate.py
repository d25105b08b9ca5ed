"""rnncli evaluate: a classifier's scores on labelled text."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import JsonOpt, ThreadsOpt, set_thread_environment


class Format(StrEnum):
    """How a labelled file is read."""

    AUTO = "auto"
    TSV = "tsv"
    CSV = "csv"
    JSONL = "jsonl"
    FASTTEXT = "fasttext"


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder or model file of train-classifier.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled file; - is standard input.")],
    format_: Annotated[Format, typer.Option("--format", help="How the file is read.")] = Format.AUTO,
    text_column: Annotated[str, typer.Option("--text-column", help="Column or key of the text.")] = "text",
    label_column: Annotated[str, typer.Option("--label-column", help="Column or key of the label.")] = "label",
    json: JsonOpt = False,
    threads: ThreadsOpt = None,
) -> None:
    """Measure a classifier: accuracy, precision, recall, F1 and the confusion matrix.

    \b
    Examples:
      rnncli evaluate runs/topics sample_data/topics.test.tsv
      rnncli evaluate runs/topics sample_data/topics.test.tsv --json | jq .macro_f1
    """
    set_thread_environment(threads)
    from rnncli.cli.render import print_json, print_table
    from rnncli.pipelines import evaluate as pipeline

    result = pipeline.run(model, file, format_=format_.value, text_column=text_column, label_column=label_column)
    if json:
        print_json(result.to_json())
        return
    typer.echo(f"{result.n:,} rows  accuracy {result.accuracy:.4f}  loss {result.loss:.4f} nats\n")
    rows: list[tuple[object, ...]] = [(c.label, c.precision, c.recall, c.f1, c.support) for c in result.per_class]
    for name, mean in (("macro", result.macro), ("micro", result.micro), ("weighted", result.weighted)):
        rows.append((f"({name} average)", mean.precision, mean.recall, mean.f1, result.n))
    print_table("", ["label", "precision", "recall", "F1", "support"], rows)
    typer.echo("")
    print_table(
        "confusion (rows: true, columns: predicted)",
        ["", *result.labels],
        [(label, *counts) for label, counts in zip(result.labels, result.confusion, strict=True)],
    )
