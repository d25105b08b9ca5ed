"""rnncli evaluate: a recurrent model's scores on a file of its kind."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnncli.cli.options import JsonOpt, ThreadsOpt, set_thread_environment

if TYPE_CHECKING:
    from rnncli.results import ClassScore, EvalResult, TaggingResult


class Format(StrEnum):
    """How a labelled file is read."""

    AUTO = "auto"
    TSV = "tsv"
    CSV = "csv"
    JSONL = "jsonl"
    FASTTEXT = "fasttext"


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder or model file of a recurrent network.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Labelled file, tagged file or text; - is standard input.")
    ],
    format_: Annotated[Format, typer.Option("--format", help="How a labelled file is read.")] = Format.AUTO,
    text_column: Annotated[
        str | None, typer.Option("--text-column", help="Column or key of the text; else the recipe's.")
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            "--label-column", help="Column or key of the label (tagged file: number or name); else the recipe's."
        ),
    ] = None,
    json: JsonOpt = False,
    threads: ThreadsOpt = None,
) -> None:
    """Measure a classifier, a regressor, a tagger or a language model on a file of its kind.

    \b
    Examples:
      rnncli evaluate runs/topics sample_data/topics.test.tsv
      rnncli evaluate runs/topics sample_data/topics.test.tsv --json | jq .macro_f1
    """
    set_thread_environment(threads)
    from rnncli.cli.render import print_json
    from rnncli.pipelines import evaluate as pipeline
    from rnncli.results import EvalResult, RegressionResult, TaggingResult

    result = pipeline.run(model, file, format_=format_.value, text_column=text_column, label_column=label_column)
    if json:
        print_json(result.to_json())
    elif isinstance(result, EvalResult):
        _show_labels(result)
    elif isinstance(result, TaggingResult):
        _show_tags(result)
    elif isinstance(result, RegressionResult):
        r2 = "" if result.r2 is None else f"  R2 {result.r2:.4f}"
        typer.echo(f"{result.n:,} rows of {result.outputs}  MSE {result.mse:.4g}  RMSE {result.rmse:.4g}{r2}")
        typer.echo(f"MAE {result.mae:.4g}")
    else:
        typer.echo(f"{result.tokens:,} tokens ({result.unit}s), {result.unknown_share:.2%} of them unknown")
        typer.echo(f"loss {result.loss:.4f} nats  perplexity {result.perplexity:.2f}  {result.bits_per_token:.4f} bits")
        if result.bits_per_character is not None:
            typer.echo(f"{result.bits_per_character:.4f} bits per character")


def _show_labels(result: "EvalResult") -> None:
    from rnncli.cli.render import print_table

    typer.echo(f"{result.n:,} rows  accuracy {result.accuracy:.4f}  loss {result.loss:.4f} nats\n")
    rows = _score_rows(result.per_class)
    for name, mean in (("macro", result.macro), ("micro", result.micro), ("weighted", result.weighted)):
        rows.append((f"({name} average)", mean.precision, mean.recall, mean.f1, result.n))
    print_table("", ["label", "precision", "recall", "F1", "support"], rows)
    if result.confusion:
        typer.echo("")
        print_table(
            "confusion (rows: true, columns: predicted)",
            ["", *result.labels],
            [(label, *counts) for label, counts in zip(result.labels, result.confusion, strict=True)],
        )


def _show_tags(result: "TaggingResult") -> None:
    from rnncli.cli.render import print_table

    typer.echo(f"{result.sentences:,} sentences  {result.tokens:,} tokens  accuracy {result.accuracy:.4f}\n")
    print_table("", ["label", "precision", "recall", "F1", "support"], _score_rows(result.per_label))
    if result.spans is not None:
        rows = [(s.type, s.precision, s.recall, s.f1, s.support) for s in result.per_span]
        all_ = result.spans
        rows.append(("(all spans)", all_.precision, all_.recall, all_.f1, all_.support))
        typer.echo("")
        print_table("spans, counted as conlleval does", ["type", "precision", "recall", "F1", "support"], rows)


def _score_rows(scores: "list[ClassScore]") -> list[tuple[object, ...]]:
    return [(c.label, c.precision, c.recall, c.f1, c.support) for c in scores]
