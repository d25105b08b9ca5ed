"""What the numbers mean, in a sentence a student understands. Thresholds stand in one table, with their source.

Eigenvalues and saturation never make a verdict: a net with spectral radius 2.5 and half its units saturated can carry a
gradient perfectly, because the two cancel. Only the product along the data may (docs/gradients.md).
"""

from dataclasses import dataclass
from math import exp, log

from rnncli.inspection.horizons import FLOAT32_STEP

LN10 = log(10.0)


@dataclass(frozen=True)
class Thresholds:
    """Version 1. Sources: the design study's delayed-recall runs (R >= .1 learned in a median of 29 steps, .01-.1 in 44,
    below .01 in 70 and more); float32 arithmetic; convention where nothing better is known."""

    version: int = 1
    reaches: float = 0.1  # ratio at the needed lag: delayed recall
    weak: float = 0.01  # the same
    exploding_peak: float = 10.0  # convention
    transient_peak: float = 2.0  # convention
    henrici: float = 0.3  # convention
    one_sided_share: float = 0.01  # convention
    cause_nats: float = log(100.0)  # a loss of two decades over the needed lag
    balanced_nats: float = log(10.0)
    pairs: int = 30  # fewer sequences at the needed lag measure nothing
    solved_loss: float = 0.5  # of the loss of knowing the label frequencies only: the task is being solved


@dataclass(frozen=True)
class Evidence:
    """The numbers a verdict rests on; logarithms are natural."""

    need: int
    pairs_at_need: int
    log_ratio_at_need: float | None
    interval: list[float] | None  # 95 %, of log_ratio_at_need
    half_life: float | None
    peak: float  # natural log of the largest median ratio
    peak_lag: int
    far_share: float | None  # share of the W_hh update from lags >= need / 2
    squash: float  # nats per step
    weights: float  # nats per step
    rho: float
    henrici: float
    loss_over_prior: float | None  # probe loss over the entropy of the label frequencies


@dataclass(frozen=True)
class Finding:
    """One thing to know. Severity 0 good, 1 to know, 2 trouble, 3 serious trouble."""

    id: str
    label: str
    severity: int
    confidence: str
    text: str
    evidence: list[str]  # where in the JSON its numbers stand


def ratio_class(log_ratio: float, t: Thresholds) -> str:
    """reaches, weak, vanishing or erased."""
    if log_ratio < FLOAT32_STEP:
        return "erased"
    if log_ratio < log(t.weak):
        return "vanishing"
    return "weak" if log_ratio < log(t.reaches) else "reaches"


def findings(e: Evidence, t: Thresholds = Thresholds()) -> list[Finding]:
    """All findings, the weightiest first."""
    found = [_reach(e, t)]
    if e.peak > log(t.exploding_peak):
        found.append(_exploding(e))
    elif e.peak > log(t.transient_peak) and e.henrici > t.henrici:
        text = (
            f"the gradient is first amplified {exp(e.peak):.3g} times (lag {e.peak_lag}) before anything else happens"
        )
        found.append(Finding("V8", "transient", 1, "measured", text, ["/layers/0/lag/ratio_log10/p50"]))
    if e.far_share is not None and e.far_share < t.one_sided_share and e.need >= 4:
        text = (
            f"{100 * (1 - e.far_share):.4g} % of the update of W_hh comes from the last {(e.need + 1) // 2} steps before the"
            " read-out; earlier words hardly change the weights"
        )
        found.append(Finding("V3", "one-sided", 1, "exact", text, ["/layers/0/lag/share/W_hh"]))
    found += _cause(e, t)
    return sorted(found, key=lambda f: -f.severity)


def _reach(e: Evidence, t: Thresholds) -> Finding:
    where = ["/verdict/ratio_at_need_log10", "/layers/0/lag/ratio_log10/p50"]
    if e.log_ratio_at_need is None or e.pairs_at_need < t.pairs:
        text = (
            f"only {e.pairs_at_need} probe sequences reach {e.need} steps back, too few to judge; probe a larger file"
        )
        return Finding("V0", "not-measurable", 1, "none", text, where)
    kind = ratio_class(e.log_ratio_at_need, t)
    size = decimal(e.log_ratio_at_need)
    confidence = "high"
    if e.interval is not None and ratio_class(e.interval[0], t) != ratio_class(e.interval[1], t):
        confidence = "low: the 95 % interval spans two classes"
    if kind == "reaches":
        text = f"the gradient reaches {e.need} steps back: it is still {size} of its size at the read-out"
        return Finding("V2", kind, 0, confidence, text, where)
    half = f"; it halves every {e.half_life:.2g} steps at first" if e.half_life is not None else ""
    text = f"the signal from {e.need} steps back is {size} of the one at the read-out{half}"
    if kind == "erased":
        text += ", and float32 loses it entirely when it is added to the rest"
    severity = {"weak": 1, "vanishing": 2, "erased": 3}[kind]
    if e.loss_over_prior is not None and e.loss_over_prior < t.solved_loss:
        severity = min(severity, 1)
        text += ". The network already solves its task on these texts, so this is no defect: a remembered fact needs no gradient"
    return Finding("V2", "vanishing" if kind != "weak" else kind, severity, confidence, text, where)


def _exploding(e: Evidence) -> Finding:
    text = f"the gradient grows up to {exp(min(e.peak, 700.0)):.3g} times on its way back (largest at lag {e.peak_lag})"
    return Finding("V7", "exploding", 2, "measured", text, ["/layers/0/lag/ratio_log10/p50"])


def _cause(e: Evidence, t: Thresholds) -> list[Finding]:
    total = e.squash + e.weights
    split = f"weights {e.weights:+.2f} nats per step, squashing {e.squash:+.2f}"
    where = ["/layers/0/gain_nats_per_step"]
    if abs(total) * e.need <= t.balanced_nats:
        text = (
            f"{split}: over {e.need} steps they balance, whatever the spectral radius ({e.rho:.2f}) or saturation say"
        )
        return [Finding("V5", "balanced", 0, "exact", text, where)]
    if total * e.need < -t.cause_nats:
        weights_to_blame = e.weights < e.squash
        cause = "the weights shrink it" if weights_to_blame else "saturated units squash it"
        text = f"cause: {cause} ({split}). The spectral radius {e.rho:.2f} is not the reason"
        return [Finding("V5" if weights_to_blame else "V6", "cause", 1, "exact", text, where)]
    return [Finding("V5", "split", 0, "exact", split, where)]


def decimal(log_value: float) -> str:
    """A number given by its natural logarithm, in decimal, also when no float could hold it."""
    if log_value == float("-inf"):
        return "0"
    exponent = log_value / LN10
    if -4 < exponent < 4:
        return f"{exp(log_value):.3g}"
    whole = int(exponent // 1)
    return f"{10 ** (exponent - whole):.1f}e{whole:+d}"
