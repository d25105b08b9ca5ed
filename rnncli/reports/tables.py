"""The tables of the page."""

from collections.abc import Sequence
from html import escape
from typing import Any

from rnncli.reports.drawing import Json, dig, layers, plain


def number(value: Any) -> str:
    """Four significant digits; a dash where nothing was measured."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return plain(value)


def power(log10_value: Any) -> str:
    """A number given by its decimal logarithm, also when no float could hold it."""
    if log10_value is None:
        return "–"
    if -4 < log10_value < 4:
        return f"{10.0**log10_value:.3g}"
    whole = int(log10_value // 1)
    return f"{10 ** (log10_value - whole):.1f}e{whole:+d}"


def interval(ends: Any) -> str:
    """[low, high], empty where there is none."""
    return f" [{number(ends[0])}, {number(ends[1])}]" if ends and None not in ends else ""


def html_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts; nothing where it has no rows. Columns that say nothing in any row are left out."""
    kept = [j for j in range(len(columns)) if j == 0 or any(row[j] not in ("", "–") for row in rows)]
    if not rows or len(kept) < 2:
        return ""
    head = "".join(f"<th>{escape(columns[j])}</th>" for j in kept)
    body = "".join("<tr>" + "".join(f"<td>{escape(row[j])}</td>" for j in kept) + "</tr>\n" for row in rows)
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>\n"


def all_tables(report: Json) -> str:
    """Every table whose numbers the report has."""
    need = dig(report, "verdict", "need_lag_steps")
    parts = [_lag_table(name, layer, need) for name, layer in layers(report, "lag", "lags")]
    parts += [_layer_table(report), _weights_table(report), _gates_table(report), _norms_table(report)]
    parts += [_context_table(report), _what_if_table(report), _checks_table(report)]
    return "".join(parts)


def _at(values: Any, index: int) -> Any:
    return values[index] if values and index < len(values) else None


def chosen_lags(lags: Sequence[int], need: int | None) -> list[int]:
    """0, 1, 2, 5, 10, 20, 50, ..., the needed lag and the last."""
    wanted = {0, *(digit * 10**power for power in range(6) for digit in (1, 2, 5)), need, lags[-1]}
    return [lag for lag in lags if lag in wanted]


def _lag_table(name: str, layer: Json, need: int | None) -> str:
    lag = layer["lag"]
    lags = lag["lags"]
    index = {value: i for i, value in enumerate(lags)}
    cut_after = {steps: i for i, steps in enumerate(dig(layer, "truncation", "steps") or [])}
    block = next(iter(dig(layer, "truncation", "bias") or {}), "")
    noise_at = {value: i for i, value in enumerate(dig(lag, "noise", "lags") or [])}
    rows = []
    for value in chosen_lags(lags, need):
        i = index[value]
        quartiles = [_at(dig(lag, "ratio_log10", q), i) for q in ("p25", "p50", "p75")]
        share = _at(dig(lag, "share", "W_hh"), i)
        rows.append(
            [
                str(value),
                power(quartiles[1]),
                f"{power(quartiles[0])} … {power(quartiles[2])}" if quartiles[0] is not None else "–",
                power(_at(dig(lag, "input_share_log10", "p50"), i)),
                "–" if share is None else f"{100 * share:.3g} %",
                number(_at(dig(layer, "truncation", "bias", block), cut_after.get(value, 10**9))),
                _noise(lag, noise_at.get(value)),
                number(_at(lag.get("count"), i)),
            ]
        )
    columns = ["lag", "gradient left", "quartiles", "share of inputs", "share of W_hh", f"bias of {block} if cut here",
               "sequences until signal", "pairs"]  # fmt: skip
    return html_table(f"By lag: {name}", columns, rows)


def _noise(lag: Json, slot: int | None) -> str:
    """Sequences until the signal of a lag is seen, with the interval."""
    scale = _at(dig(lag, "noise", "scale_sequences_log10"), -1 if slot is None else slot)
    ends = _at(dig(lag, "noise", "scale_sequences_log10_ci95"), -1 if slot is None else slot)
    if slot is None or ends is None or ends[0] is None:
        return "–"
    if scale is None:  # the signal is not told from 0
        return f"more than {power(ends[0])}"
    return f"{power(scale)} [{power(ends[0])}, {'∞' if ends[1] is None else power(ends[1])}]"


def _layer_table(report: Json) -> str:
    rows = []
    for name, layer in layers(report):
        gain, saturation = layer.get("gain_nats_per_step") or {}, layer.get("saturation") or {}
        horizons = layer.get("horizons_steps") or {}
        first = _at(dig(layer, "lyapunov", "values"), 0)
        rows.append(
            [
                name,
                number(gain.get("total")) + interval(gain.get("ci95")),
                number(gain.get("squash", gain.get("carry"))),
                number(gain.get("weights")),
                number(first) + interval(_at(dig(layer, "lyapunov", "ci95"), 0)),
                number(horizons.get("half")),
                number(horizons.get("one_percent")),
                number(horizons.get("float32")),
                number(saturation.get("mean_derivative")),
                "–" if saturation.get("frac_abs_gt_0_9") is None else f"{100 * saturation['frac_abs_gt_0_9']:.3g} %",
                number(saturation.get("dead_f32_units")),
            ]
        )
    columns = ["layer", "gain (nats/step)", "of which squash or carry", "of which weights", "λ1 (nats/step)", "half-life",
               "1 % at lag", "float32 loses it at lag", "mean derivative", "|h| > .9", "dead units"]  # fmt: skip
    return html_table("Layers", columns, rows)


def _weights_table(report: Json) -> str:
    rows = []
    for name, layer in layers(report, "weights"):
        for w in layer["weights"]:
            reliable = "" if w.get("rho_reliable", True) else " (unreliable)"
            transient = w.get("transient") or {}
            peak = "–" if transient.get("peak_log10") is None else f"{power(transient['peak_log10'])}"
            rows.append(
                [
                    name, plain(w.get("block", "")), number(w.get("rho")) + reliable, number(w.get("sigma_max")),
                    number(w.get("sigma_min")), power(w.get("condition_log10")), number(w.get("rms_gain")),
                    number(w.get("henrici")), peak, number(transient.get("peak_lag")),
                ]
            )  # fmt: skip
    columns = [
        "layer",
        "matrix",
        "ρ",
        "σ max",
        "σ min",
        "condition",
        "rms gain",
        "Henrici",
        "largest ‖W^lag‖",
        "at lag",
    ]
    return html_table("Recurrent matrices", columns, rows)


def _gates_table(report: Json) -> str:
    rows = []
    for name, layer in layers(report, "gates"):
        for gate, g in layer["gates"].items():
            scale = g.get("timescale_steps") or {}
            rows.append([name, plain(gate), number(g.get("mean")), number(g.get("frac_lt_0_1")), number(g.get("frac_gt_0_9")),
                         number(scale.get("p10")), number(scale.get("p50")), number(scale.get("p90"))])  # fmt: skip
    columns = ["layer", "gate", "mean", "share < .1", "share > .9", "clock p10", "clock p50", "clock p90"]
    return html_table("Gates", columns, rows)


def _norms_table(report: Json) -> str:
    norms, updates = report.get("norms") or {}, report.get("update_ratio") or {}
    blocks = norms.get("per_block") or {}
    rows = []
    if norms.get("global"):
        clip = norms.get("clip") or {}
        clipped = "–" if clip.get("fraction") is None else f"{100 * clip['fraction']:.3g} %"
        rows.append(["all", *_norm_cells(norms["global"]), clipped, number(clip.get("suggested")), "–"])
    for name in dict.fromkeys([*blocks, *updates]):
        rows.append([plain(name), *_norm_cells(blocks.get(name) or {}), "–", "–", number(updates.get(name))])
    columns = ["block", "p50", "p99", "max", "max / median", "not finite", "clipped", "suggested clip", "‖Δθ‖ / ‖θ‖"]
    return html_table("Gradient norms per step", columns, rows)


def _norm_cells(norms: Json) -> list[str]:
    return [number(norms.get(key)) for key in ("p50", "p99", "max", "max_over_median", "nonfinite")]


def _context_table(report: Json) -> str:
    used = report.get("context_use") or {}
    rows = [[str(n), number(loss)] for n, loss in zip(used.get("n") or [], used.get("delta_loss") or [], strict=False)]
    unit = plain(used.get("unit") or "loss")
    return html_table("Use of context", ["inputs kept", f"loss more than with all ({unit})"], rows)


def _what_if_table(report: Json) -> str:
    rows = [
        [plain(case.get("name", "")), power(case.get("ratio_at_need_log10")), number(case.get("half_life_steps")),
         number(case.get("lambda_1")), number(case.get("norm_p99_over_p50")), number(case.get("seconds"))]
        for case in report.get("what_if") or []
    ]  # fmt: skip
    columns = ["at initialisation, with", "gradient at the needed lag", "half-life", "λ1", "norm p99 / p50", "seconds"]
    return html_table("What if", columns, rows)


def _checks_table(report: Json) -> str:
    rows = [[plain(name), number(value)] for name, value in (report.get("self_checks") or {}).items()]
    return html_table("Self-checks (errors should be near 0)", ["check", "value"], rows)
