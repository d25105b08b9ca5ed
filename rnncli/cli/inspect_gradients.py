"""rnncli inspect-gradients: how far back does the gradient reach, and why?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from rnncli.cli.options import ConfigOpt, JsonOpt, SeedOpt, SetOpt, ThreadsOpt, given_flags, set_thread_environment

TROUBLES = ("vanishing", "exploding")
SPARKS, ASCII_SPARKS = "█▇▆▅▄▃▂▁", "87654321"
SPARK_DECADES = 1.0  # of log10 a step of the spark line


def inspect_gradients(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder or model file of train-classifier.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled file the probe sequences are drawn from.")],
    config: ConfigOpt = None,
    need: Annotated[int | None, typer.Option("--need", min=1, metavar="N", help="The lag the task needs.")] = None,
    set_: SetOpt = None,
    seed: SeedOpt = None,
    threads: ThreadsOpt = None,
    fail_on: Annotated[
        str, typer.Option("--fail-on", metavar="LIST", help="Exit 3 on these verdicts: vanishing,exploding.")
    ] = "",
    json: JsonOpt = False,
) -> None:
    """Measure how the loss travels back through time, lag by lag, in float64, and say what it means.

    \b
    Examples:
      rnncli inspect-gradients runs/topics sample_data/topics.test.tsv
      rnncli inspect-gradients runs/topics sample_data/topics.test.tsv --need 12 --fail-on vanishing
    """
    set_thread_environment(threads)
    from rnncli.cli.render import print_json
    from rnncli.config.inspection import InspectConfig
    from rnncli.config.load import load_config
    from rnncli.errors import CheckFailedError, UsageError
    from rnncli.pipelines import inspect_gradients as pipeline

    watched = [word for word in fail_on.split(",") if word]
    if unknown := [word for word in watched if word not in TROUBLES]:
        raise UsageError(f"--fail-on {unknown[0]}: unknown verdict; choose from {', '.join(TROUBLES)}")
    checked = load_config(InspectConfig, config, set_ or (), given_flags(need=need, seed=seed)).config
    result = pipeline.run(model, file, checked)
    if json:
        print_json(result.to_json())
    else:
        _print(result.to_json())
    met = {f["label"] for f in result.verdict["findings"] if f["severity"] >= 2}
    if hit := [word for word in watched if word in met]:
        raise CheckFailedError(f"the gradient is {hit[0]} (--fail-on {fail_on})")


def _print(report: dict[str, Any]) -> None:
    from rnncli.cli.render import print_table

    verdict, layer, source = report["verdict"], report["layers"][0], report["input"]
    half = verdict["half_life_steps"]
    typer.echo(f"VERDICT: {verdict['label'].upper()}  ({_half_life(half)}; you need {verdict['need_lag_steps']} steps)")
    for finding in verdict["findings"]:
        typer.echo(_wrapped(finding["text"]))
    network = report["architecture"]
    typer.echo(
        f"\n{network['cell']} cell, {network['hidden']} units; {source['sequences']} probe sequences, longest"
        f" {source['longest']}\nloss {source['loss_nats']:.3g} nats, accuracy {source['accuracy']:.3f}\n"
    )
    lag, jacobian = layer["lag"], layer["jacobian"]
    product = dict(zip(jacobian["lags"], jacobian["norm_log10"], strict=True))
    rows = [
        (
            i,
            _power(lag["ratio_log10"]["p50"][i]),
            _power(lag["grad_norm_log10"][i]),
            _power(product[i]),
            f"{100 * lag['share']['W_hh'][i]:.2f} %",
            lag["count"][i],
        )
        for i in jacobian["lags"]
        if i < len(lag["lags"])
    ]
    title = "how a loss at the last step reaches back (medians over sequences)"
    print_table(title, ["lag", "ratio to lag 0", "|dL/dh|", "|dh_T/dh_k|", "share of dW_hh", "sequences"], rows)
    typer.echo(f"ratio, one mark a step back: {_spark(lag['ratio_log10']['p50'])}")
    weights, gain = layer["weights"][0], layer["gain_nats_per_step"]
    typer.echo(
        f"\nW_hh         spectral radius {weights['rho']:.3f}, largest singular value {weights['sigma_max']:.3f}"
    )
    if not weights["rho_reliable"]:
        typer.echo("             far from normal: its eigenvalues say little about products")
    typer.echo(
        f"gain         {gain['total']:+.3f} nats a step = squashing {gain['squash']:+.3f} + weights"
        f" {gain['weights']:+.3f}"
    )
    typer.echo(f"saturation   {_saturation(layer['saturation'])}")
    checks = report["self_checks"]
    typer.echo(
        f"self-check   shares sum to 1 within {checks['share_sum_error']:.0e}, split exact within"
        f" {checks['gain_split_error']:.0e}"
    )


def _half_life(half: dict[str, Any]) -> str:
    if half["value"] is None:
        return "it never falls to half"
    interval = "" if half["ci95"] is None else f" [{half['ci95'][0]:.1f}, {half['ci95'][1]:.1f}]"
    return f"half-life {half['value']:.1f} steps{interval}"


def _wrapped(text: str) -> str:
    import textwrap

    return textwrap.fill(text, 78, initial_indent="- ", subsequent_indent="  ")


def _power(log10: float | None) -> str:
    """A number given by its decimal logarithm: 0.031, 2.1e-15, 3.4e-412; 0 for an exact zero."""
    if log10 is None:
        return "0"
    if -4 < log10 < 4:
        return f"{10**log10:.3g}"
    whole = int(log10 // 1)
    return f"{10 ** (log10 - whole):.1f}e{whole:+d}"


def _spark(ratios: list[float | None]) -> str:
    """One mark a lag on a logarithmic scale; a full block is no loss, each lower one a decade."""
    import sys

    marks = SPARKS if (sys.stdout.encoding or "").lower().startswith("utf") else ASCII_SPARKS
    steps = [len(marks) - 1 if r is None else min(max(int(-r / SPARK_DECADES), 0), len(marks) - 1) for r in ratios[:48]]
    return "".join(marks[s] for s in steps) + ("..." if len(ratios) > 48 else "")


def _saturation(report: dict[str, Any]) -> str:
    if "active_share" in report:
        return f"{report['active_share']:.1%} of ReLU units active, {report['relu_dead_units']} never"
    return (
        f"|h| > 0.9: {report['frac_abs_gt_0_9']:.1%}, > 0.99: {report['frac_abs_gt_0_99']:.1%};"
        f" mean tanh' {report['mean_derivative']:.3f}; dead in float32: {report['dead_f32_units']}"
    )
