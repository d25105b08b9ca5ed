"""rnncli inspect-gradients: how far back does the gradient reach, and why?"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rnncli.cli.options import (
    ConfigOpt,
    JsonOpt,
    ProgressMode,
    SeedOpt,
    SetOpt,
    ThreadsOpt,
    given_flags,
    set_thread_environment,
)

TROUBLES = ("vanishing", "exploding", "cut")


class Level(StrEnum):
    """How closely to look."""

    QUICK = "quick"
    STANDARD = "standard"
    DEEP = "deep"


class Task(StrEnum):
    """Synthetic tasks whose need is known."""

    RECALL = "recall"
    ADDING = "adding"
    COPY = "copy"


class Kind(StrEnum):
    """What a recipe trains."""

    CLASSIFIER = "classifier"
    REGRESSOR = "regressor"
    TAGGER = "tagger"
    LANGUAGE_MODEL = "language-model"


class Lesson(StrEnum):
    """Built-in lessons."""

    ORTHOGONAL = "orthogonal"
    DELAY_LINE = "delay-line"
    COUNTEREXAMPLE = "counterexample"
    TEXTBOOK = "textbook"


class FigureFormat(StrEnum):
    """Of single figures."""

    SVG = "svg"
    PNG = "png"


def inspect_gradients(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="Run folder, model file, or a YAML recipe not yet trained.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="File the probe sequences are drawn from; else the recipe's own."),
    ] = None,
    config: ConfigOpt = None,
    kind: Annotated[
        Kind | None, typer.Option("--kind", help="What a recipe trains, where its keys and its data do not tell.")
    ] = None,
    level: Annotated[
        Level | None,
        typer.Option("--level", help="quick: one loss a sequence; standard: all; deep: all exponents too."),
    ] = None,
    need: Annotated[int | None, typer.Option("--need", min=1, metavar="N", help="The lag the task needs.")] = None,
    sequences: Annotated[
        int | None, typer.Option("--sequences", min=1, metavar="N", help="Probe sequences to draw.")
    ] = None,
    max_lag: Annotated[int | None, typer.Option("--max-lag", min=1, metavar="N", help="Longest lag measured.")] = None,
    as_trained: Annotated[
        bool, typer.Option("--as-trained", help="Count only pairs inside one window of truncated training.")
    ] = False,
    probe: Annotated[Task | None, typer.Option("--probe", help="A fresh network on a task with a known need.")] = None,
    length: Annotated[
        int | None, typer.Option("--length", min=2, metavar="T", help="--probe: steps to bridge.")
    ] = None,
    set_: SetOpt = None,
    seed: SeedOpt = None,
    threads: ThreadsOpt = None,
    fail_on: Annotated[
        str, typer.Option("--fail-on", metavar="LIST", help="Exit 3 on these verdicts: vanishing,exploding,cut.")
    ] = "",
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Other cells and first values on the same probe, nothing trained.")
    ] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Train the recipe and the --arms over --seeds; the prediction comes first.")
    ] = False,
    arms: Annotated[
        str,
        typer.Option(
            "--arms", metavar="LIST", help="--prove: orthogonal,irnn,lstm,lstm-chrono,gru,gru-chrono (irnn,lstm)."
        ),
    ] = "",
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=2, metavar="K", help="--prove: runs of each arm (5).")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, metavar="N", help="--prove: epochs of each run; else the recipe's.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="The equations with your own numbers, to be checked on a calculator.")
    ] = False,
    demo: Annotated[Lesson | None, typer.Option("--demo", help="A lesson without data.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one offline page with plots.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="FOLDER", help="Write every plot as a file.")
    ] = None,
    figure_format: Annotated[FigureFormat | None, typer.Option("--figure-format", help="Of --figures (svg).")] = None,
    matrix: Annotated[
        Path | None, typer.Option("--matrix", metavar="FILE", help="Write the lag matrix as .npz.")
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Print the rows of a run's --inspect-every as they are written, until it ends."),
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Measure how losses travel back through time, lag by lag, in float64, and say what it means.

    \b
    Examples:
      rnncli inspect-gradients runs/topics sample_data/topics.test.tsv
      rnncli inspect-gradients runs/topics sample_data/topics.test.tsv --need 12 --fail-on vanishing
      rnncli inspect-gradients --probe recall --length 50 --set model.cell=lstm
      rnncli inspect-gradients runs/topics --follow --json | jq .ratio_at_need_log10
    """
    from rnncli.errors import CheckFailedError, UsageError

    set_thread_environment(threads)
    for needed, there, idle in (
        ("--prove", prove, {"--arms": arms, "--seeds": seeds, "--epochs": epochs}),
        ("--figures", figures, {"--figure-format": figure_format}),
    ):
        if not there and (given := [option for option, value in idle.items() if value]):
            raise UsageError(f"{given[0]}: does something with {needed} only")
    if explain and json:
        raise UsageError("--explain: is text and no part of the JSON document; leave one of the two out")
    if follow:
        others = {
            "FILE": file, "--config": config, "--level": level, "--need": need, "--sequences": sequences, "--max-lag": max_lag,
            "--as-trained": as_trained, "--probe": probe, "--length": length, "--set": set_, "--seed": seed is not None,
            "--fail-on": fail_on, "--what-if": what_if, "--prove": prove, "--explain": explain, "--demo": demo, "--html": html,
            "--figures": figures, "--matrix": matrix, "--kind": kind,
        }  # fmt: skip
        if given := [option for option, value in others.items() if value]:
            raise UsageError(f"--follow: prints what training records and measures nothing; leave {given[0]} out")
        if model is None:
            raise UsageError("--follow: name the folder of the run")
        from rnncli.cli.film_text import show_film

        show_film(model, json)
        return
    if demo is not None:
        others = {
            "MODEL": model, "--config": config, "--kind": kind, "--probe": probe, "--need": need, "--what-if": what_if,
            "--prove": prove,
            "--explain": explain, "--html": html, "--figures": figures, "--matrix": matrix, "--fail-on": fail_on,
            "--level": level, "--sequences": sequences, "--length": length, "--max-lag": max_lag, "--as-trained": as_trained,
            "--set": set_, "--seed": seed is not None,
        }  # fmt: skip
        if given := [option for option, value in others.items() if value]:
            raise UsageError(f"--demo: shows a lesson and inspects nothing; leave {given[0]} out")
        from rnncli.cli.demos import show_demo

        show_demo(demo.value, json)
        return
    from rnncli.cli.inspection_text import print_report
    from rnncli.cli.progress import show_progress
    from rnncli.cli.render import print_json
    from rnncli.config.inspection import InspectConfig
    from rnncli.config.load import load_config
    from rnncli.pipelines import inspect_gradients as pipeline

    watched = [word.strip() for word in fail_on.split(",")] if fail_on else []
    if unknown := [word for word in watched if word not in TROUBLES]:
        raise UsageError(f"--fail-on {unknown[0] or fail_on}: unknown verdict; choose from {', '.join(TROUBLES)}")
    flags = given_flags(
        need=need, seed=seed, level=level, sequences=sequences, max_lag=max_lag, as_trained=as_trained or None, probe=probe,
        length=length, kind=kind,
    )  # fmt: skip
    checked = load_config(InspectConfig, config, set_ or (), flags).config
    if checked.probe is None:
        keys = [pair.split("=")[0].strip() for pair in set_ or ()]
        idle_keys = [
            f"--set {key}" for key in keys if key.split(".")[0] in ("length", "embedding_dim", "model", "training")
        ]
        if found := [*(["--length"] if length is not None else []), *idle_keys]:
            raise UsageError(f"{found[0]}: does something with --probe only; a model or a recipe is inspected as it is")
    named = tuple(arm.strip() for arm in arms.split(",")) if arms else ()
    extras = pipeline.Extras(what_if, prove, named, seeds or pipeline.SEEDS, epochs)
    with show_progress(ProgressMode.AUTO, quiet=not prove, verbose=False) as on_event:
        inspection = pipeline.run(model, file, checked, threads=threads or 0, extras=extras, on_event=on_event)
    report = inspection.result.to_json()
    if html is not None or figures is not None:  # the library that draws is slow to import
        from rnncli.pipelines import inspection_files

        if html is not None:
            inspection_files.write_page(report, html)
        if figures is not None:
            inspection_files.write_figures(report, figures, figure_format or FigureFormat.SVG)
    if matrix is not None:
        from rnncli.pipelines.inspection_files import write_matrix

        write_matrix(inspection, matrix)
    if json:
        print_json(report)
    else:
        print_report(report)
    if explain and not json:
        from rnncli.cli.demos import print_explanation
        from rnncli.inspection.explain import explain as explained

        print_explanation(explained(inspection))
    met = troubles(report["verdict"]["findings"])
    if hit := [word for word in watched if word in met]:
        raise CheckFailedError(f"the gradient is {hit[0]} (--fail-on {fail_on})")


def troubles(findings: list[dict[str, Any]]) -> set[str]:
    """What --fail-on looks for; a read-out that no gradient leaves at all counts as vanishing."""
    met = {f["label"] for f in findings if f["severity"] >= 2}
    return met | {"vanishing"} if "not-measurable" in met else met
