"""One HTML page that needs no network: verdict, advice, tables, figures with a word on how to read them, and the JSON."""

import json
import re
from html import escape
from typing import Any

from rnncli.reports import sentences
from rnncli.reports.drawing import Json, dig, plain
from rnncli.reports.figures import figure_files
from rnncli.reports.tables import all_tables, html_table, interval, number, power

# name of a figure -> (title, how to read it)
CAPTIONS = {
    "p1_lag_curve": (
        "How far the gradient reaches",
        "Each step down by 1 is a tenfold loss: read off how much is left at the lag you need. Where the measured line lies"
        " between the straight ones tells you which theory describes this network, and ρ(W) alone often does not.",
    ),
    "p2_lag_matrix": (
        "Every loss against every step",
        "One row is one loss; going left is going back in time, and dark means that little is left. The strip below adds up"
        " all losses, as other tools do: it looks healthy even where each single row fades.",
    ),
    "p3_update_share": (
        "Which steps move the weights",
        "A bar shows where the update of one block comes from. If lag 0 to 2 fill it, the weights learn nothing from earlier"
        " steps; parts below zero work against the sum.",
    ),
    "p4_truncation_bias": (
        "What a training window would cut off",
        "The part of the gradient that is lost when it is followed back for τ steps only. Choose τ where the line is under"
        " .1; above .5 the update points elsewhere.",
    ),
    "p5_lyapunov": (
        "Growth rates along your data",
        "Each point is a direction of the state; below 0 it fades, above 0 it grows (chaos). The first one governs long lags:"
        " e to the power λ1 is what is left per step.",
    ),
    "p6_eigenvalues": (
        "The recurrent matrices",
        "Points inside the circle fade in the end, but wide contours around them mean that the powers may grow first: see the"
        " panel beside. Eigenvalues ignore the squashing function, so they never make a verdict.",
    ),
    "p7_clocks": (
        "The clocks of the gates",
        "Above: after how many steps a unit has forgotten all but 37 % if only its gate counts. If the clocks end left of the"
        " lengths, or of the needed lag, no unit holds on long enough.",
    ),
    "p8_saturation": (
        "Saturation",
        "A dark row is a unit that lets no gradient through; a dark column is a step where many block it. Right: the"
        " pre-activations should lie where the dashed curve is high, but some saturation is normal in a trained network.",
    ),
    "p9_sentences": (
        "Which words a loss listens to",
        "The darker a word, the more a small change of it changes the loss; each shade is a factor of 3.2. Point at a word for"
        " its number, press a button for another loss.",
    ),
    "p10_noise": (
        "Signal and noise by lag",
        "Left of the crossing one sequence already shows where to go; right of it many must be averaged before the signal"
        " stands out.",
    ),
    "p11_trajectory": (
        "The run so far",
        "The same measurements at each checkpoint. The gradient at the needed lag often rises before the loss falls.",
    ),
    "p12_proof": (
        "Does the advice help?",
        "Each grey line is one seed under both settings. The advice is proved only if the whole interval on the right lies"
        " below 0.",
    ),
}  # fmt: skip

# Where a number of the JSON is drawn: the first pattern that matches a pointer.
_DRAWN = (
    (r"/layers/\d+/lag/(share|share_by_gate)\b", "p3_update_share"),
    (r"/layers/\d+/lag/noise\b", "p10_noise"),
    (r"/layers/\d+/(lag|horizons_steps|jacobian)\b", "p1_lag_curve"),
    (r"/layers/\d+/truncation\b", "p4_truncation_bias"),
    (r"/layers/\d+/lyapunov\b", "p5_lyapunov"),
    (r"/layers/\d+/weights\b", "p6_eigenvalues"),
    (r"/layers/\d+/gates\b|/data/length\b", "p7_clocks"),
    (r"/layers/\d+/saturation\b", "p8_saturation"),
    (r"/(lag_matrix|total_adjoint)\b", "p2_lag_matrix"),
    (r"/influence\b", "p9_sentences"),
    (r"/trajectory\b", "p11_trajectory"),
    (r"/prove\b", "p12_proof"),
)

_STYLE = """
body { font: 15px/1.5 "DejaVu Sans", Verdana, Arial, sans-serif; color: #000; background: #fff; max-width: 62rem;
       margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #999; }
h3 { font-size: 1.05rem; margin: 0 0 .3rem; }
.verdict { border: 3px solid #000; padding: .6rem 1.2rem; } .verdict h2 { border: 0; margin: .2rem 0; font-size: 1.4rem; }
.severity3 { border-style: double; border-width: 7px; } .severity0 { border-width: 1px; }
li { margin: .5rem 0; } code { font-size: .85em; background: #eee; padding: 0 3px; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } caption { text-align: left; font-weight: bold; padding: .3rem 0; }
th, td { border: 1px solid #aaa; padding: 2px 7px; text-align: right; overflow-wrap: normal; }
th:first-child, td:first-child { text-align: left; } th { background: #eee; vertical-align: bottom; }
figure { margin: 1.8rem 0; break-inside: avoid; } figure svg { width: 100%; height: auto; }
figcaption { font-size: 14px; max-width: 48rem; } .small { font-size: 13px; color: #333; }
* { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } .steps { display: none; } .wide { overflow: visible; } }
"""

# The page may run its own script and show its own pictures, and fetch nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(report: Json, title: str = "Gradients") -> str:
    """The whole page as one text; equal reports give equal pages."""
    drawn = {name: _inline(name, svg) for name, svg in figure_files(report, "svg").items()}
    if words := sentences.sentences(report):
        drawn["p9_sentences"] = words
    order = [name for name in CAPTIONS if name in drawn]
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(plain(title))}</title>\n<style>{_STYLE}{sentences.STYLE}</style>\n</head>\n<body>",
        f"<h1>{escape(plain(title))}</h1>",
        _source(report),
        _verdict(report, drawn),
        _advice(report),
        _section("tables", "Numbers", f'<div class="wide">{tables}</div>' if (tables := all_tables(report)) else ""),
        _section("figures", "Figures", "".join(_figure(name, drawn[name]) for name in order)),
        _planted(report),
        _data(report),
        f"<script>{sentences.SCRIPT}</script>" if words else "",
        "</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _inline(name: str, svg: bytes) -> str:
    """The <svg> element alone, its ids made unique on the page."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(CAPTIONS[name][0])}" ', 1)


def _section(name: str, title: str, body: str) -> str:
    return f'<h2 id="{name}">{title}</h2>\n{body}' if body else ""


def _source(report: Json) -> str:
    """What was measured, in one line."""
    keys = (("input", "model"), ("input", "file"), ("architecture", "cell"), ("architecture", "hidden"),
            ("input", "sequences"), ("input", "level"), ("input", "seed"), ("input", "sha256"))  # fmt: skip
    facts = [f"{key} {number(dig(report, group, key))}" for group, key in keys if dig(report, group, key) is not None]
    return f'<p class="small">{escape(" · ".join(facts))}</p>' if facts else ""


def _verdict(report: Json, drawn: dict[str, str]) -> str:
    verdict = report.get("verdict")
    if not verdict:
        return ""
    facts = []
    if (need := verdict.get("need_lag_steps")) is not None:
        source = f" ({plain(verdict['need_source'])})" if verdict.get("need_source") else ""
        facts.append(f"needed lag: {number(need)} steps{source}")
    if (ratio := verdict.get("ratio_at_need_log10")) is not None:
        ends = verdict.get("ratio_at_need_log10_ci95")
        spread = f" [{power(ends[0])}, {power(ends[1])}]" if ends else ""
        facts.append(f"gradient left there: {power(ratio)}{spread}")
    if (half := dig(verdict, "half_life_steps", "value")) is not None:
        facts.append(f"half-life: {number(half)} steps{interval(verdict['half_life_steps'].get('ci95'))}")
    findings = "".join(_finding(finding, report, drawn) for finding in verdict.get("findings") or [])
    label = escape(plain(verdict.get("label") or "measured").upper())
    return (
        f'<section class="verdict severity{int(verdict.get("severity") or 0)}" id="verdict"><h2>Verdict: {label}</h2>\n'
        f"<p>{escape(' · '.join(facts))}</p>\n" + (f"<ol>\n{findings}</ol>\n" if findings else "") + "</section>"
    )


def _finding(finding: Json, report: Json, drawn: dict[str, str]) -> str:
    evidence = []
    for pointer in finding.get("evidence") or []:
        value = _resolve(report, pointer)
        shown = f" = {escape(number(value))}" if isinstance(value, int | float | str) else ""
        figure = _figure_of(pointer)
        link = f' (<a href="#{figure}">figure</a>)' if figure in drawn else ""
        evidence.append(f'<a href="#json"><code>{escape(plain(pointer))}</code></a>{shown}{link}')
    refs = ", ".join(plain(ref) for ref in finding.get("refs") or [])
    tail = "; ".join([*evidence, *([escape(refs)] if refs else [])])
    name = f"{plain(finding.get('id', ''))} {plain(finding.get('label', ''))}".strip()
    sure = f" ({plain(finding['confidence'])})" if finding.get("confidence") else ""
    text = f"<b>{escape(name)}</b>: {escape(plain(finding.get('text', '')))}{escape(sure)}"
    return f'<li>{text}<br><span class="small">{tail}</span></li>\n'


def _figure_of(pointer: str) -> str | None:
    return next((figure for pattern, figure in _DRAWN if re.match(pattern, pointer)), None)


def _resolve(report: Any, pointer: str) -> Any:
    """The value a JSON pointer leads to, None where it leads nowhere."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(report, dict):
            report = report.get(key)
        elif isinstance(report, list) and key.isdecimal() and int(key) < len(report):
            report = report[int(key)]
        else:
            return None
    return report


def _advice(report: Json) -> str:
    items = []
    for advice in dig(report, "verdict", "advice") or []:
        change = ", ".join(f"{plain(key)} = {plain(value)}" for key, value in (advice.get("change") or {}).items())
        expects = advice.get("expects") or {}
        moves = ""
        if expects.get("metric"):
            known = expects.get("to") is not None
            moves = f" {'Expected' if known else 'Should move'}: {plain(expects['metric'])} from {number(expects.get('from'))}"
            moves += f" to {number(expects['to'])}." if known else "."
        set_to = f" <code>{escape(change)}</code>" if change else ""
        items.append(f"<li>{escape(plain(advice.get('text', '')))}{set_to}{escape(moves)}</li>\n")
    return _section("advice", "Advice", f"<ol>\n{''.join(items)}</ol>" if items else "")


def _figure(name: str, body: str) -> str:
    title, caption = CAPTIONS[name]
    return (
        f'<figure id="{name}"><h3>{escape(title)}</h3>\n<figcaption>{escape(caption)}</figcaption>\n{body}</figure>\n'
    )


def _planted(report: Json) -> str:
    """The table that belongs to the proof: from how far back each arm learned a planted class."""
    planted = dig(report, "prove", "planted") or {}
    rows = []
    for arm in planted.get("arms") or []:
        learned = [
            f"{lag['learned']} of {lag['seeds']}"
            + (f" ({number(lag['median_updates'])})" if lag["median_updates"] is not None else "")
            for lag in arm["lags"]
        ]
        rows.append([plain(arm["name"]), *learned, number(arm["learned_reach_steps"])])
    columns = ["arm", *(f"lag {lag}" for lag in planted.get("lags") or []), "learned reach"]
    title = f"Seeds that named a planted class right within {number(planted.get('budget_updates'))} updates (median updates)"
    table = html_table(title, columns, rows)
    if not table:
        return ""
    caption = (
        "One of four class tokens stood so many steps before the end among tokens as frequent as yours; the network, first"
        " values and update rule are those of the arm. Learned: a running accuracy above"
        f" {number(planted.get('accuracy'))}. Reach: the longest lag that more than half of the seeds learned."
    )
    held = planted.get("order_held")
    said = "" if held is None else f" The predicted order {'held' if held else 'did not hold'}."
    return (
        f'<h3 id="planted">From how far back it learns</h3>\n<p class="small">{escape(caption + said)}</p>\n'
        f'<div class="wide">{table}</div>'
    )


def _data(report: Json) -> str:
    """The document itself. `<` is written as an escape, so that no text in it can close the block or open a comment."""
    text = json.dumps(report, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<h2 id="json">Data</h2>\n<p class="small">Every number above stands in the JSON document inside this file'
        " (element <code>report</code>); the findings name the place by JSON pointer.</p>\n"
        f'<script type="application/json" id="report">{text}</script>'
    )
