"""Lessons and explanations of inspect-gradients on a terminal. Fits 80 columns."""

import sys
import textwrap
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rnncli.inspection.demos import Demo, Step

WIDTH = 80


def show_demo(name: str, json: bool = False) -> None:
    """One lesson: what is so, a question, and, after Enter on a terminal, the answer; or all of it as JSON."""
    from rnncli.cli.render import print_json
    from rnncli.inspection.demos import DEMOS

    demo = DEMOS[name]()
    if json:
        print_json({"demo": name, **demo.to_json()})
    else:
        _lesson(demo)


def print_explanation(lines: list[str]) -> None:
    """What inspection.explain.explain says: paragraphs are wrapped, lines that begin with two spaces are not."""
    from rnncli.cli.render import printable

    for line in lines:
        text = printable(line)
        typer.echo(text if not text or text.startswith("  ") else _wrapped(text))


def _lesson(demo: "Demo") -> None:
    typer.echo(f"{demo.title.upper()}\n")
    for step in demo.steps:
        _step(step)
    typer.echo(_wrapped(demo.question))
    if sys.stdin.isatty() and sys.stdout.isatty():
        typer.echo("\nPredict, then press Enter. ", nl=False)
        sys.stdin.readline()
    typer.echo()
    _step(demo.answer)


def _step(step: "Step") -> None:
    typer.echo(_wrapped(step.text))
    if step.numbers:
        width = max(map(len, step.numbers))
        typer.echo()
        for name, value in step.numbers.items():
            typer.echo(f"  {name:<{width}}  {value:.4g}")
    typer.echo()


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
