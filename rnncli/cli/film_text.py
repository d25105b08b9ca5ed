"""What inspect-gradients --follow prints: a row of inspection.jsonl a line, as it is written."""

import sys
from pathlib import Path
from typing import Any

import typer

# One width a column, since rows still to come cannot be measured.
WIDTHS = (6, 5, 8, 8, 9, 9, 25, 7, 8, 8, 7)


def show_film(run: Path, as_json: bool) -> None:
    """Print every row until the run ends."""
    from rnncli.cli.progress import show_progress
    from rnncli.cli.render import print_json_line
    from rnncli.pipelines.film import follow

    headed = False
    with show_progress("none") as on_event:
        for row in follow(run, on_event):
            if as_json:
                print_json_line(row)
                sys.stdout.flush()
                continue
            if not headed:
                typer.echo(film_header(row))
                headed = True
            typer.echo(film_line(row))


def film_header(row: dict[str, Any]) -> str:
    """The names of the columns, with the needed lag of a row."""
    lag = row.get("need_lag_steps")
    ratio = f"R({'N' if lag is None else lag})"
    names = ("gain=weights+squash/carry", "rho", "lambda_1", "norm p99", "clipped")
    return _line("step", "epoch", "loss", "accuracy", ratio, "half-life", *names)


def film_line(row: dict[str, Any]) -> str:
    """A row; `-` for what was not measured and for the logarithm of an exact zero."""
    return _line(
        str(row["step"]), str(row["epoch"]), _number(row.get("loss")), _number(row.get("accuracy"), ".3f"), _ratio(row),
        _number(row.get("half_life_steps")), _gain(row), _number(row.get("rho"), ".3f"), _exponent(row),
        _number(row.get("norm_p99")), _number(row.get("clip_fraction"), ".0%"),
    )  # fmt: skip


def _line(*cells: str) -> str:
    return " ".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True))


def _number(value: float | None, form: str = ".3g") -> str:
    return "-" if value is None else format(value, form)


def _ratio(row: dict[str, Any]) -> str:
    """10^-3.2."""
    log10 = row.get("ratio_at_need_log10")
    return "-" if log10 is None else f"10^{log10:.1f}"


def _exponent(row: dict[str, Any]) -> str:
    value = row.get("lambda_1")
    return "-" if value is None else f"{value:+.3f}"


def _gain(row: dict[str, Any]) -> str:
    """-0.105=-0.032-0.073: the sum and its parts."""
    gain, weights, first = (row.get(name) for name in ("gain", "weights", "squash"))
    if gain is None:
        return "-"
    return f"{gain:+.3f}" if weights is None or first is None else f"{gain:+.3f}={weights:+.3f}{first:+.3f}"
