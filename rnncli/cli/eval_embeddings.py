"""rnncli eval-embeddings: word pairs and analogies."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnncli.cli.options import JsonOpt, SeedOpt, ThreadsOpt, set_thread_environment

if TYPE_CHECKING:
    from rnncli.results import Difference, EmbeddingsComparison, EmbeddingsScores


class Oov(StrEnum):
    """What to do about words without a vector."""

    SKIP = "skip"
    ZERO = "zero"


def eval_embeddings(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder, model file or any word-vector file.")],
    second: Annotated[
        Path | None, typer.Argument(metavar="[MODEL2]", help="A second model, compared on the same items.")
    ] = None,
    similarity: Annotated[
        list[Path] | None,
        typer.Option("--similarity", metavar="FILE", help="Word pairs with scores; may be repeated."),
    ] = None,
    analogy: Annotated[
        list[Path] | None,
        typer.Option("--analogy", metavar="FILE", help="Analogies in word2vec's form; may be repeated."),
    ] = None,
    oov: Annotated[
        Oov,
        typer.Option("--oov", help="Items with words that have no vector: left out, or similarity 0 and wrong."),
    ] = Oov.SKIP,
    restrict: Annotated[
        int, typer.Option("--restrict", min=0, metavar="N", help="Only the N most frequent words; 0: all.")
    ] = 0,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, metavar="N", help="Resamples behind an interval; 0: no intervals.")
    ] = 1000,
    seed: SeedOpt = None,
    json: JsonOpt = False,
    threads: ThreadsOpt = None,
) -> None:
    """Measure word vectors: rank correlation on word pairs, accuracy on analogies, 95 % intervals.

    With two models also whether the first is better, on the same pairs and questions.

    \b
    Examples:
      rnncli eval-embeddings runs/vectors --similarity sample_data/similarity.tsv --analogy sample_data/analogies.txt
      rnncli eval-embeddings runs/a runs/b --similarity wordsim353.tsv --json | jq .comparison
    """
    set_thread_environment(threads)
    from rnncli.cli.render import print_json
    from rnncli.pipelines import eval_embeddings as pipeline

    models = [model] if second is None else [model, second]
    options = {"oov": oov.value, "restrict": restrict, "resamples": bootstrap, "threads": threads or 0}
    if seed is not None:
        options["seed"] = seed
    result = pipeline.run(models, similarity or [], analogy or [], **options)  # type: ignore[arg-type]
    if json:
        print_json(result.to_json())
        return
    _print_scores(result, oov)
    if result.second is not None:
        typer.echo("")
        _print_scores(result.second, oov)
    if result.comparison is not None:
        typer.echo("")
        _print_comparison(result.comparison, oov)


def _print_scores(scores: "EmbeddingsScores", oov: Oov) -> None:
    from rnncli.cli.render import print_table, printable

    skip = oov is Oov.SKIP
    typer.echo(f"{printable(scores.model)}: {scores.words:,} words")
    if scores.similarity:
        typer.echo("")
        print_table(
            "word pairs",
            [
                "file",
                "pairs",
                "without vector",
                "Spearman",
                "95 % interval",
                "those as 0" if skip else "those left out",
            ],
            [
                (s.name, s.pairs, s.oov, s.spearman, _span(s.interval), (s.zero if skip else s.skip).spearman)
                for s in scores.similarity
            ],
        )
    if scores.analogy is not None:
        typer.echo("")
        rows: list[tuple[object, ...]] = []
        every = scores.analogy
        for name, missing, a, m in (
            *((section.name, section.oov, section.add, section.mul) for section in every.sections),
            ("(all)", every.oov, every.add, every.mul),
        ):
            add, mul, other = (a.skip, m.skip, a.zero) if skip else (a.zero, m.zero, a.skip)
            spans = (add.accuracy, _span(add.interval), mul.accuracy, _span(mul.interval))
            rows.append((name, add.n, missing, *spans, other.accuracy))
        columns = ["section", "questions", "without vector", "3CosAdd", "95 % interval", "3CosMul", "95 % interval"]
        print_table("analogies", [*columns, "3CosAdd, those wrong" if skip else "3CosAdd, those left out"], rows)


def _print_comparison(comparison: "EmbeddingsComparison", oov: Oov) -> None:
    from rnncli.cli.render import print_table

    rows: list[tuple[object, ...]] = []

    def add_row(name: str, d: "Difference") -> None:
        rows.append((name, d.n, d.first, d.second, d.difference, _span(d.interval), d.first_better, d.second_better))

    for item in comparison.similarity:
        add_row(item.name, item.skip if oov is Oov.SKIP else item.zero)
    if comparison.analogy is not None:
        for method, both in (("3CosAdd", comparison.analogy.add), ("3CosMul", comparison.analogy.mul)):
            add_row(f"analogies, {method}", both.skip if oov is Oov.SKIP else both.zero)
    print_table(
        "the first model against the second, on the same items",
        ["", "items", "first", "second", "difference", "95 % interval", "first better", "second better"],
        rows,
    )


def _span(interval: list[float] | None) -> str:
    return f"{interval[0]:.3f} .. {interval[1]:.3f}" if interval else "-"
