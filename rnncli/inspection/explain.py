"""Student mode: the equation of one gradient with the reader's own numbers, the rules one by one, each finding's formula.

Pure text: an empty string is a blank line, a line that begins with two spaces is kept as it is (80 columns at most), all
others are paragraphs. Numbers are rounded so that a product can be checked on a calculator. Logarithms are natural.
"""

import textwrap
from dataclasses import dataclass
from math import ceil, exp, floor, isfinite, log, log10, prod
from typing import Any

import numpy as np

from rnncli.inspection import sections
from rnncli.inspection.evidence import ChainFound
from rnncli.inspection.inspect import Inspection
from rnncli.inspection.lag_collector import ChainLags
from rnncli.inspection.rollout import Chain, Rollout
from rnncli.inspection.sources import formula_of, number_at, sources_of
from rnncli.inspection.verdict import counted, decimal

STEPS_BACK = 3
LINE = 78
LEFT_DIGITS = 3  # of the left side; factors get as many as the product needs
MOST_DIGITS = 9
EQUAL_ONE = 1e-5  # float32 weights: an orthogonal matrix is so near to one
GROWS = 0.005  # log of a growth that is worth a word
WORDS = {1: "one step", 2: "two steps", 3: "three steps"}
KEEPS = {"lstm": "f", "gru": "z", "gru_before": "z"}


@dataclass(frozen=True)
class ByHand:
    """One loss some steps back. Numbers are texts, as printed; brackets from the earliest step to the loss's own."""

    step: int  # of the loss, counted from 1
    row: int
    left: str  # |dL_t/ds_{t-n}|
    brackets: list[tuple[str, ...]]  # the factors of each step
    right: str  # |dL_t/ds_t|

    @property
    def steps_back(self) -> int:
        return len(self.brackets)

    @property
    def product(self) -> float:
        """Of the printed numbers of the right side."""
        return prod(float(text) for bracket in self.brackets for text in bracket) * float(self.right)


def explain(inspection: Inspection) -> list[str]:
    """The whole lesson."""
    found, need = shown_chain(inspection), inspection.evidence.need
    lines = [*_one_gradient(inspection, found), ""]
    if reached(found, need):
        lines += [*_rules(found, need), "", *_to_lag(found, need), ""]
    return [*lines, *_findings(inspection)]


def shown_chain(inspection: Inspection) -> ChainFound:
    """The first direction of the top layer: nothing is added to its adjoints on the way, so that gains multiply exactly."""
    top = len(inspection.rollout.layers) - 1
    return next(one for one in inspection.found if one.chain.place.layer == top)


def number(log_value: float, digits: int) -> str:
    """A positive number by its logarithm, with so many significant digits."""
    exponent = log_value / log(10.0)
    whole = floor(exponent)
    mantissa = round(10 ** (exponent - whole), digits - 1)
    if mantissa >= 10:
        mantissa, whole = 1.0, whole + 1
    if -4 <= whole < 4:
        return f"{mantissa * 10.0**whole:.{max(0, digits - 1 - whole)}f}"
    return f"{mantissa:.{digits - 1}f}e{whole:+d}"


def by_hand(rollout: Rollout, lags: ChainLags) -> ByHand | None:
    """A row of usual length, its last loss; None where no loss of the probe has a gradient one step back."""
    logs = lags.log_norm_LA[: STEPS_BACK + 1]
    back_A = np.cumprod(np.isfinite(logs), axis=0).sum(axis=0) - 1
    rows = [*sections.example_rows(rollout), *range(rollout.lengths.size)]
    column, best = 0, 0
    for row in rows:
        own = np.flatnonzero(lags.row_A == row)
        last = int(own[np.argmax(lags.at_A[own])])
        if back_A[last] > best:
            column, best = last, int(back_A[last])
        if best == STEPS_BACK:
            break
    if best == 0:
        return None
    factors = []
    for lag in range(best - 1, -1, -1):
        first, total = float(lags.direct_LA[lag, column]), float(lags.total_LA[lag, column])
        factors.append((total - first, first) if isfinite(first) else (total,))
    place = int(lags.at_A[column]) + 1, int(lags.row_A[column])
    left, right = float(logs[best, column]), float(logs[0, column])
    for digits in range(LEFT_DIGITS, MOST_DIGITS):
        texts = [tuple(number(value, digits) for value in factor) for factor in factors]
        hand = ByHand(*place, number(left, LEFT_DIGITS), texts, number(right, digits))
        if hand.product > 0 and number(log(hand.product), LEFT_DIGITS) == hand.left:
            break
    return hand


def _one_gradient(inspection: Inspection, found: ChainFound) -> list[str]:
    chain, rollout = found.chain, inspection.rollout
    lines = ["ONE GRADIENT, BY HAND"]
    hand = by_hand(rollout, found.lags)
    if hand is None:
        return [*lines, "No loss of the probe has a gradient one step back: there is no such step, or it is exactly 0."]
    t, n = hand.step, hand.steps_back
    state, plain = ("s" if chain.cell == "lstm" else "h"), chain.cell not in KEEPS
    short = "" if n == STEPS_BACK else " (further back there is nothing to show)"
    lines.append(
        f"Sequence {int(rollout.rows[hand.row]) + 1} of the probe, {counted(int(rollout.lengths[hand.row]), 'step')} long"
        f"{_tokens(inspection, chain, hand)}. L_{t} is {_loss_name(inspection, t)}; its gradient"
        f" {WORDS[n]} back{short}, in float64:"
    )
    names = [f"W^T D_{k}" if plain else f"A_{k}^T" for k in range(t - n + 1, t + 1)]
    last = f"dL_{t}/d{state}_{t}"
    brackets = [f"({' x '.join(factors)})" for factors in hand.brackets]
    lines += _product(f"dL_{t}/d{state}_{t - n}", [*names, last], " . ")
    lines += _product(hand.left, [*brackets, hand.right], " . ")
    lines.append(f"  on a calculator: {number(log(hand.product), 6)}" if hand.product > 0 else "  on a calculator: 0")
    lines.append(
        "The first line is about vectors, the second about their lengths. Each bracket is what one step does to the length"
        " of the vector v that arrives: " + _legend(chain)
    )
    if len(rollout.layers) > 1:
        lines.append(
            f"This is layer {chain.place.layer}, the top one: here nothing is added on the way, so the product is exact. In the"
            " layers below more comes in from above at every step."
        )
    if chain.place.layer == len(rollout.layers) - 1 and len(rollout.layers[-1]) > 1:
        lines.append("Of the two directions the forward one is shown.")
    return lines


def _product(left: str, factors: list[str], sign: str) -> list[str]:
    """`left = a . b . c`, on as many lines as it takes; a factor is never broken."""
    text = f"{left} = {sign.join(factor.replace(' ', '~') for factor in factors)}"
    lines = textwrap.wrap(
        text, LINE, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("~", " ") for line in lines]


def _legend(chain: Chain) -> str:
    if chain.cell not in KEEPS:
        slope = (
            "1 - h_t^2, the slope of tanh" if chain.cell == "rnn" else "1 where a unit is active and 0 where it is not"
        )
        return f"weight gain |W^T D v|/|D v| x squash gain |D v|/|v|. W is W_hh; D_t is diagonal: {slope}."
    if chain.cell == "lstm":
        path = "f_t (dc + o_t sech^2(c_t) dh), v = (dh, dc)"
        state = "s = (h, c) and "
    else:
        path, state = "z_t v", ""
    return (
        f"what the recurrent weights make of it |A^T v|/|p| x the path through the keeping gate |p|/|v|, p = {path}, which no"
        f" recurrent weight touches. {state}A_t = d{state[:1] or 'h'}_t/d{state[:1] or 'h'}_(t-1)."
    )


def _tokens(inspection: Inspection, chain: Chain, hand: ByHand) -> str:
    """The words of the steps, where there are words."""
    rows = sections.example_rows(inspection.rollout)
    if hand.row not in rows or not inspection.result.influence or chain.place.reverse:
        return ""
    tokens = inspection.result.influence[rows.index(hand.row)]["tokens"]
    first = hand.step - hand.steps_back
    words = [f'{k} "{tokens[k - 1]}"' for k in range(first, hand.step + 1)]
    return f" (steps {', '.join(words)})"


def _loss_name(inspection: Inspection, t: int) -> str:
    pooling = inspection.result.architecture["pooling"]
    if pooling is None:
        return f"the loss at step {t}"
    if pooling == "last":
        return f"the loss, read off at the last step, {t}"
    return f"the loss as far as it reads step {t} directly (pooling: {pooling})"


def _rules(found: ChainFound, need: int) -> list[str]:
    lines = ["THE RULES, ONE BY ONE"]
    lag = reached(found, need)
    measured = float(found.curve.p50_L[lag])
    if found.chain.cell in KEEPS:
        lines += _gated_rules(found)
    else:
        lines += _simple_rules(found, lag, measured)
    half = found.half_life
    pace = "do not fall to half" if half is None else f"fall to half within {half:.1f} steps"
    whole = "What decides is the product of the steps along your data. "
    if found.spectrum is None:
        whole += "Its Lyapunov exponent lambda_1 is not measured at this level (--level standard). "
    elif isfinite(found.spectrum.values_K[0]):
        value = float(found.spectrum.values_K[0])
        whole += f"Its Lyapunov exponent is lambda_1 = {value:+.4f}: e^{value:.4f} = {exp(value):.4f} a step, in the"
        whole += " direction that lasts longest. "
    else:
        whole += "Its Lyapunov exponent lambda_1 is -infinity: every direction is cut to exactly 0 somewhere. "
    return [*lines, f"{whole}The gradients of your own losses {pace} (measured, median)."]


def reached(found: ChainFound, need: int) -> int:
    """The needed lag, or the longest that any loss of this chain reaches."""
    return min(need, int(np.flatnonzero(found.curve.count_L)[-1])) if found.curve.count_L.any() else 0


def _simple_rules(found: ChainFound, lag: int, measured: float) -> list[str]:
    w = found.weights[-1]
    sigma, rho, left = w["sigma_max"], w["rho"], decimal(measured)
    if sigma < 1 - EQUAL_ONE:
        bound = decimal(lag * log(sigma)) if sigma > 0 else "0"
        first = (
            f"Your sigma_max is {sigma:.4g}: it must, and after {counted(lag, 'step')} at most {bound} is left (measured"
            f" {left})"
        )
    else:
        first = f"Your sigma_max is {sigma:.4g}: not your case, the rule says nothing"
    peak_lag = int(np.nanargmax(np.where(found.curve.count_L > 0, found.curve.p50_L, -np.inf)))
    peak = float(found.curve.p50_L[peak_lag])
    grows = f"It does grow, {decimal(peak)} times up to lag {peak_lag}" if peak > GROWS else "It does not"
    second = (
        f"it may. {grows}; at lag {lag} the median is {left}" if sigma > 1 + EQUAL_ONE else "it cannot grow at any lag"
    )
    by_rho = decimal(lag * log(rho)) if rho > 0 else "0"
    lines = [
        "Rule 1, sigma_max < 1: the gradient must vanish (Pascanu, Mikolov & Bengio 2013), for no step can lengthen a vector"
        f" more than sigma_max times. {first}.",
        f"Rule 2, sigma_max > 1: it may explode, but need not. Your sigma_max is {sigma:.4g}: {second}.",
        f"Rule 3, often taught: the spectral radius rho decides. Your rho is {rho:.4g}; by it {by_rho} would be left after"
        f" {counted(lag, 'step')}, measured is {left}. ",
    ]
    reason = (
        "rho is not the reason: it speaks of powers of one matrix in the long run, and your gradient passes another matrix"
        " D_t W at every step."
    )
    if not w["rho_reliable"]:
        reason += (
            f" Your W is also far from normal (Henrici {w['henrici']:.2f}): even its powers do not follow rho soon."
        )
    lines[-1] += reason
    return lines


def _gated_rules(found: ChainFound) -> list[str]:
    chain = found.chain
    gate = KEEPS[chain.cell]
    with np.errstate(divide="ignore"):
        mean_log = float(np.log(chain.local.keep_NH).mean())
    clock = sections.median_clock(chain)
    lines = [
        "The rules about sigma_max and rho hold for A_t = D_t W. A step of your cell is the path through the gate"
        f" {gate}_t plus terms with W, so no recurrent block decides by itself:",
    ]
    lines += [f"  {w['block']}  rho {w['rho']:.4g}  sigma_max {w['sigma_max']:.4g}" for w in found.weights]
    held = ""
    if clock:
        steps = counted(clock, "step", form=".3g")
        held = f"; half of the units hold longer than {steps} (-1 / mean of ln {gate})"
    if isfinite(mean_log):
        lines.append(
            f"By the gate alone a unit keeps e^(mean of ln {gate}) = e^{mean_log:.4f} = {exp(mean_log):.4f} a step{held}."
        )
    return lines


def _to_lag(found: ChainFound, need: int) -> list[str]:
    lag = reached(found, need)
    gated = found.chain.cell in KEEPS
    first, weights = sections.mean_gain(found.lags, lag)
    places = max(3, ceil(log10(max(1, lag) / 0.002)))
    name = "path through the gate" if gated else "squashing"
    lines = [f"FROM ONE STEP TO {lag}"]
    if lag < need:
        lines.append(f"You need {counted(need, 'step')}; no loss of the probe reaches more than {lag} back.")
    first, weights = round(first, places) + 0.0, round(weights, places) + 0.0  # no -0
    curve = found.curve
    if np.isnan(first):
        return [
            *lines,
            "No step passes anything on: each gain is an exact zero, and there is no mean of its logarithm.",
        ]
    losses = counted(int(curve.count_L[lag]), "loss", "losses")
    both = f"{first:.{places}f} {'-' if weights < 0 else '+'} {abs(weights):.{places}f}"
    lines += [
        f"Mean gain of a step, over all losses and lags below {lag}, in nats: {name} {first:+.{places}f}, weights"
        f" {weights:+.{places}f}. A product of steps is a sum of nats:",
        f"  e^(({both}) x {lag}) = {decimal((first + weights) * lag)}",
        f"  measured at lag {lag}: {decimal(float(curve.p50_L[lag]))} (median of {losses})",
        "Where the two differ, the losses differ among themselves, or the early steps from the late ones: the first is a"
        " geometric mean over all steps, the second a median over the losses that reach so far.",
    ]
    if np.isneginf(found.lags.log_norm_LA[: lag + 1]).any():
        lines.append(
            "Some gradients of the probe are exactly 0 before that lag; a mean of logarithms leaves those out."
        )
    return lines


def _findings(inspection: Inspection) -> list[str]:
    document: dict[str, Any] = inspection.result.to_json()
    layer = document["layers"][inspection.evidence.layer]
    where = f"layer {layer['layer']}, {layer['direction']}"
    lines = [f"WHAT THE VERDICT RESTS ON ({where})"]
    for finding in document["verdict"]["findings"]:
        lines += [
            f"{finding['id']} {finding['label']}: {finding['text']}",
            *_item("formula", [formula_of(finding)]),
            *_item("source", sources_of(finding)),
        ]
        for path in finding["evidence"]:
            lines += _item("--json", [number_at(document, path, inspection.evidence.need)])
    return lines


def _item(name: str, parts: list[str]) -> list[str]:
    start = f"  {name:<7}  "
    return textwrap.wrap(
        "; ".join(parts), LINE, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
