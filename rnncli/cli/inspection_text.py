"""What inspect-gradients says on a terminal: the verdict first, then the numbers it rests on. Fits 80 columns."""

import sys
import textwrap
from typing import Any

import typer

from rnncli.inspection.verdict import counted

SPARKS, ASCII_SPARKS = "█▇▆▅▄▃▂▁", "87654321"
SPARK_DECADES = 1.0  # of log10 a step of the spark line
SPARK_LENGTH = 64
WIDTH = 80
FILM_ROWS = 16


def print_report(report: dict[str, Any]) -> None:
    """The whole summary."""
    _verdict(report)
    _subject(report)
    worst = report["layers"][0]
    _lags(worst)
    _layers(report)
    _weights(worst)
    _training(report)
    _use(report)
    _film(report["trajectory"])
    print_what_if(report["what_if"])
    if report["prove"]:
        print_proof(report["prove"])
    _checks(report["self_checks"])


def _verdict(report: dict[str, Any]) -> None:
    verdict = report["verdict"]
    half = verdict["half_life_steps"]
    need = counted(verdict["need_lag_steps"], "step")
    lines = [f"VERDICT: {verdict['label'].upper()}  ({_half_life(half)}; you need {need})"]
    for finding in verdict["findings"]:
        lines += textwrap.wrap(finding["text"], WIDTH - 6, initial_indent="- ", subsequent_indent="  ")
    for number, advice in enumerate(verdict["advice"], 1):
        start = "Do: " if number == 1 else "    "
        lines += textwrap.wrap(
            f"{number} {advice['text']}{_promise(report, advice['expects'])}",
            WIDTH - 6,
            initial_indent=start,
            subsequent_indent="      ",
            break_on_hyphens=False,
        )
    if sys.stdout.isatty() and _utf8():
        typer.echo("┌" + "─" * (WIDTH - 2) + "┐")
        for line in lines:
            typer.echo(f"│ {line:<{WIDTH - 4}} │")
        typer.echo("└" + "─" * (WIDTH - 2) + "┘")
    else:
        typer.echo("\n".join(lines))


def _promise(report: dict[str, Any], expects: dict[str, Any]) -> str:
    """What a change should move, where it was predicted, and the race that would put it to the test."""
    if expects["metric"] != "/verdict/ratio_at_need_log10" or expects["to"] is None:
        return ""
    arm = _arm(report, expects["what_if"])
    test = f"; --prove --arms {arm} tests it" if arm is not None else ""
    return f" (predicted ratio {power(expects['from'])} -> {power(expects['to'])}{test})"


def _arm(report: dict[str, Any], row: str) -> str | None:
    """The arm of a race that makes this row of the what-ifs; None where there is none, or nothing to train."""
    from rnncli.pipelines.inspect_gradients import ARMS

    if "probe" in report["input"] or "optimizer" not in report["architecture"]:
        return None
    names = [one["name"] for one in report["what_if"]]
    return next((arm for arm, start in ARMS.items() if row == _first(names, start)), None)


def _first(names: list[str], start: str) -> str | None:
    return next((name for name in names if name.startswith(start)), None)


def _subject(report: dict[str, Any]) -> None:
    network, source = report["architecture"], report["input"]
    directions = ", both directions" if network["directions"] == 2 else ""
    layers = f"{network['layers']} layers of " if network["layers"] > 1 else ""
    convention = f" ({network['gru_convention']})" if network.get("gru_convention") else ""
    accuracy = f", accuracy {source['accuracy']:.3f}" if source["accuracy"] is not None else ""
    first = (
        f"{network['task']}: {layers}{network['cell']}{convention}, {counted(network['hidden'], 'unit')}{directions}"
    )
    second = (
        f"{counted(source['sequences'], 'probe sequence')}, longest {source['longest']},"
        f" {counted(source['loss_terms'], 'loss', 'losses')}; loss"
        f" {source['loss']:.3g} {source['loss_unit']}{accuracy}; needed lag: {report['verdict']['need_source'].replace('_', ' ')}"
    )
    typer.echo("\n" + _filled(f"{first}; {source['stage']}") + "\n" + _filled(second) + "\n")


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")


def _lags(layer: dict[str, Any]) -> None:
    from rnncli.cli.render import print_table

    lag, cut = layer["lag"], layer.get("truncation")
    bias = dict(zip(cut["steps"], cut["bias"]["all"], strict=True)) if cut else {}
    product = (
        dict(zip(layer["jacobian"]["lags"], layer["jacobian"]["norm_log10"], strict=True))
        if "jacobian" in layer
        else {}
    )
    columns = ["lag", "ratio", "|dL/ds|", "of inputs", "of dW_hh"]
    columns += ["bias if cut"] if bias else []
    columns += ["|ds_t/ds_k|"] if product else []
    rows = []
    for i in shown_lags(lag["count"]):
        row: list[object] = [i, power(lag["ratio_log10"]["p50"][i]), power(lag["grad_norm_log10"][i])]
        row += [power(lag["input_share_log10"]["p50"][i]), f"{100 * lag['share']['W_hh'][i]:.2f} %"]
        if bias:
            row.append(f"{bias[i]:.3f}" if i in bias else "")
        if product:
            row.append(power(product[i]) if i in product else "")
        rows.append((*row, lag["count"][i]))
    print_table("how each loss reaches back (medians; layer 0)", [*columns, "count"], rows)
    typer.echo(f"ratio, one mark a step: {spark(lag['ratio_log10']['p50'])}")


def shown_lags(count: list[int]) -> list[int]:
    """0, 1, 2, 3, 5, 10, 20, ... as far as something was counted."""
    longest = max((i for i, c in enumerate(count) if c), default=0)
    lags, decade = [0], 1
    while decade <= longest:
        lags += [decade * m for m in (1, 2, 3, 5) if decade * m <= longest]
        decade *= 10
    return sorted({*lags, longest})


def _layers(report: dict[str, Any]) -> None:
    from rnncli.cli.render import print_table

    gated = any("gates" in layer for layer in report["layers"])
    has_exponents = any("lyapunov" in layer for layer in report["layers"])
    columns = ["layer", "half-life", "gain", "first", "weights", "|h|>.9", "dead"]
    columns += ["lambda 1", "95 %"] if has_exponents else []
    rows = []
    for layer in report["layers"]:
        gain, saturation = layer["gain_nats_per_step"], layer["saturation"]
        first = gain.get("squash", gain.get("carry"))
        high = saturation.get("frac_abs_gt_0_9")
        dead = saturation.get("dead_f32_units", saturation.get("relu_dead_units"))
        row: list[object] = [
            _place(layer), layer["horizons_steps"]["half"], *map(_signed, (gain["total"], first, gain["weights"])),
            "-" if high is None else f"{high:.1%}", dead,
        ]  # fmt: skip
        if has_exponents:
            exponents = layer["lyapunov"]
            value, interval = exponents["values"][0], exponents["ci95"][0]
            row.append("-inf" if value is None else f"{value:+.3f}")
            row.append("" if None in interval else f"{interval[0]:+.3f} {interval[1]:+.3f}")
        rows.append(tuple(row))
    what = "the path through the keeping gate" if gated else "squashing"
    typer.echo("")
    print_table(f"gain = first ({what}) + weights, nats a step", columns, rows)
    if gated:
        _gates(report)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _place(layer: dict[str, Any]) -> str:
    return f"{layer['layer']} {'fwd' if layer['direction'] == 'forward' else 'bwd'}"


def _gates(report: dict[str, Any]) -> None:
    from rnncli.cli.render import print_table

    rows = []
    for layer in report["layers"]:
        for name, gate in layer["gates"].items():
            clocks = gate.get("timescale_steps")
            kept = "" if clocks is None else " / ".join(_steps(clocks[p]) for p in ("p10", "p50", "p90"))
            low, high = f"{gate['frac_lt_0_1']:.1%}", f"{gate['frac_gt_0_9']:.1%}"
            rows.append((_place(layer), name, gate["mean"], low, high, kept))
    typer.echo("")
    print_table("", ["layer", "gate", "mean", "< .1", "> .9", "holds for steps, p10 / p50 / p90"], rows)


def _weights(layer: dict[str, Any]) -> None:
    from rnncli.cli.render import print_table

    rows = []
    for w in layer["weights"]:
        note = "" if w["rho_reliable"] else "far from normal: rho says little"
        rows.append((w["block"], w["rho"], w["sigma_max"], w["sigma_min"], w["rms_gain"], note))
    typer.echo("")
    print_table("", ["weights", "rho", "sigma max", "sigma min", "rms gain", ""], rows)


def _training(report: dict[str, Any]) -> None:
    norms, moved = report["norms"], report["update_ratio"]
    if norms is None:
        return
    g, clip = norms["global"], norms["clip"]
    if g["p50"] is None:
        verb = "is" if g["nonfinite"] == 1 else "are"
        typer.echo(f"\ngradient norm: {g['nonfinite']} of {norms['steps']} {verb} not finite")
        return
    clipped = (
        f"; clip {clip['type']} {clip['value']:g} acts on {clip['fraction']:.0%}" if clip["value"] else "; no clipping"
    )
    hint = f", suggested {clip['suggested']:.3g}" if clip["suggested"] is not None else ""
    text = (
        f"gradient norm: p50 {g['p50']:.3g}, p99 {g['p99']:.3g}, max/median {g['max_over_median']:.3g} over"
        f" {counted(norms['steps'], 'batch', 'batches')}{clipped}{hint}"
    )
    big = [(r, name) for name, r in (moved or {}).items() if r is not None and "bias" not in name]
    if big:
        ratio, name = max(big)
        text += f". One update moves {name} by {ratio:.2g} of its length, the most"
    typer.echo("\n" + _filled(text))


def _use(report: dict[str, Any]) -> None:
    used = report["context_use"]
    if used is None:
        return
    pairs = [
        f"{n}: {d:+.3g}" for n, d in zip(used["n"], used["delta_loss"], strict=True) if n in shown_lags([1] * 2000)
    ]
    text = f"loss with the last n inputs only, less that with all ({used['unit']}): " + ", ".join(pairs[:10])
    typer.echo("\n" + _filled(text))


def _film(trajectory: list[dict[str, Any]]) -> None:
    if not trajectory:
        return
    from rnncli.cli.render import print_table

    rows = [
        (
            r["step"], power(r["ratio_at_need_log10"]), r["gain"], r["norm_p50"], r["norm_p99"], r["clip_fraction"],
            r.get("loss"), r.get("accuracy"),
        )
        for r in thinned(trajectory)
    ]  # fmt: skip
    typer.echo("")
    columns = ["update", "ratio at need", "gain", "norm p50", "p99", "clipped", "loss", "accuracy"]
    print_table("while it learned", columns, rows)


def thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most FILM_ROWS of them, evenly spaced, the first and the last among them."""
    last = len(rows) - 1
    chosen = sorted({round(i * last / (FILM_ROWS - 1)) for i in range(FILM_ROWS)})
    return rows if len(rows) <= FILM_ROWS else [rows[i] for i in chosen]


def print_what_if(rows: list[dict[str, Any]]) -> None:
    """Other first values on the same probe."""
    if not rows:
        return
    from rnncli.cli.render import print_table

    typer.echo("")
    print_table(
        "what if: first values, nothing trained, the same probe",
        ["network", "ratio at need", "half-life", "lambda 1", "norm p99/p50"],
        [
            (r["name"], power(r["ratio_at_need_log10"]), r["half_life_steps"], r["lambda_1"], r["norm_p99_over_p50"])
            for r in rows
        ],
    )


def print_proof(proof: dict[str, Any]) -> None:
    """Prediction, race, label, planted class."""
    from rnncli.cli.render import print_table

    typer.echo("\n" + textwrap.fill(f"prediction, written before the race: {proof['prediction']['text']}", WIDTH))
    rows = [
        (a["name"], a["loss_mean"], a["loss_best"], a["loss_worst"], power(a["ratio_at_need_log10"]), a["seconds"])
        for a in proof["arms"]
    ]
    print_table(f"race over {proof['seeds']} seeds", ["arm", "loss", "best", "worst", "ratio after", "seconds"], rows)
    for result in proof["results"]:
        low, high = result["ci95"]
        typer.echo(
            f"{result['label']}: {result['arm']} - {result['baseline']} = {result['mean']:+.3g} [{low:+.3g}, {high:+.3g}]"
        )
    if "planted" in proof:
        _planted(proof["planted"])


def _planted(planted: dict[str, Any]) -> None:
    """From how far back each arm learned a planted class."""
    from rnncli.cli.render import print_table

    rows = [(arm["name"], *map(_learned, arm["lags"]), arm["learned_reach_steps"]) for arm in planted["arms"]]
    title = f"planted class: seeds that learned it within {planted['budget_updates']} updates (median updates)"
    typer.echo("")
    print_table(title, ["arm", *(f"lag {lag}" for lag in planted["lags"]), "reach"], rows)
    if planted["order_held"] is not None:
        typer.echo(f"predicted order of reach: {'held' if planted['order_held'] else 'did not hold'}")


def _learned(lag: dict[str, Any]) -> str:
    median = lag["median_updates"]
    return f"{lag['learned']}/{lag['seeds']}" + ("" if median is None else f" ({median:g})")


def _checks(checks: dict[str, Any]) -> None:
    names = {
        "gain_split_error": "gain split",
        "share_sum_error": "shares sum to 1",
        "lag_sum_error": "lags sum to the gradient",
        "sum_rule_error": "exponents sum to log|det|",
    }
    parts = [f"{names[name]} {value:.0e}" for name, value in checks.items()]
    typer.echo("\n" + textwrap.fill("self-check (errors): " + ", ".join(parts), WIDTH))


def _half_life(half: dict[str, Any]) -> str:
    if half["value"] is None:
        return "no half-life in the probe"
    interval = "" if half["ci95"] is None else f" [{half['ci95'][0]:.1f}, {half['ci95'][1]:.1f}]"
    return f"half-life {half['value']:.1f} steps{interval}"


def _steps(value: float | None) -> str:
    return "inf" if value is None else f"{value:.3g}"


def power(log10: float | None) -> str:
    """A number given by its decimal logarithm: 0.031, 2.1e-15, 3.4e-412; 0 for an exact zero."""
    if log10 is None:
        return "0"
    if -4 < log10 < 4:
        return f"{10**log10:.3g}"
    whole = int(log10 // 1)
    return f"{10 ** (log10 - whole):.1f}e{whole:+d}"


def _utf8() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


def spark(ratios: list[float | None]) -> str:
    """One mark a lag on a logarithmic scale; a full block is no loss, each lower one a decade; | where float32 ends."""
    marks = SPARKS if _utf8() else ASCII_SPARKS
    drawn, erased = [], False
    for ratio in ratios[:SPARK_LENGTH]:
        if (ratio is None or ratio < -7.2247) and not erased:  # 2^-24
            drawn.append("|")
            erased = True
        step = len(marks) - 1 if ratio is None else min(max(int(-ratio / SPARK_DECADES), 0), len(marks) - 1)
        drawn.append(marks[step])
    return "".join(drawn[:SPARK_LENGTH]) + ("..." if len(ratios) > SPARK_LENGTH else "")
