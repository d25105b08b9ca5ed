"""What the numbers mean, in sentences a student understands (V0-V12).

Eigenvalues and saturation never make a verdict: a net with spectral radius 2.5 and half its units saturated can carry a
gradient perfectly, because the two cancel. Only the product along the data may (docs/gradients.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp, log
from typing import Literal

from rnncli.inspection.calibration import Thresholds
from rnncli.inspection.lag_statistics import FLOAT32_STEP

LN10 = log(10.0)
LAG = "/layers/{}/lag/ratio_log10/p50"


@dataclass(frozen=True)
class Evidence:
    """The numbers a verdict rests on; logarithms are natural, None is not measured. Of the layer that reaches least far."""

    need: int
    pairs_at_need: int
    log_ratio_at_need: float | None
    interval: list[float] | None  # 95 %, of log_ratio_at_need
    half_life: float | None
    peak: float  # natural log of the largest median ratio
    peak_lag: int
    far_share: float | None  # share of the W_hh update from lags >= need / 2
    squash: float  # nats per step: squashing of simple cells, the path through the keeping gate of gated ones
    weights: float  # nats per step
    gated: bool
    rho: float
    henrici: float
    layer: int = 0  # place in the list of layers
    peak_layer: int = 0
    dead_f32: int = 0
    solved: bool | None = None  # the probe loss is far below that of knowing nothing
    context: int | None = None  # steps of context that the loss gains from
    context_gain: str = "0.01 nat"  # what more than that gains less than
    context_total: float | None = None
    bptt_steps: int | None = None
    coverage: float | None = None  # of the pairs at the needed lag by the windows of truncated BPTT
    bias_at_bptt: float | None = None
    bias_horizon: int | None = None  # tau* at a bias of .1
    lambda_1: float | None = None
    lambda_layer: int = 0
    lambda_interval: tuple[float, float] | None = None
    norm_spread: float | None = None  # max over median of the gradient norm
    nonfinite: int = 0
    clip_type: str | None = None
    clip_fraction: float | None = None
    clip_suggested: float | None = None
    participation: float | None = None
    update_ratio: float | None = None
    demand: int | None = None  # the longest lag at which the data tell anything
    outlook: str | None = None  # how the calibration's runs went that began so
    at_ends: bool = False  # truncation counts from the end of each row instead of in windows
    longest: int | None = None  # the longest lag that enough losses reach; None: not asked
    silent: Literal["head", "losses", "layers"] | None = None  # no gradient at all, and what gives none


@dataclass(frozen=True)
class Finding:
    """One thing to know. Severity 0 good, 1 to know, 2 trouble, 3 serious trouble."""

    id: str
    label: str
    severity: int
    confidence: str
    text: str
    evidence: list[str]  # where in the JSON its numbers stand
    refs: list[str] = field(default_factory=list)  # in docs/gradients.md


def measured(e: Evidence, t: Thresholds) -> bool:
    """Whether enough losses go back to the needed lag to say anything about it."""
    return e.log_ratio_at_need is not None and e.pairs_at_need >= t.pairs


def ratio_class(log_ratio: float, t: Thresholds) -> str:
    """reaches, weak, vanishing or erased."""
    if log_ratio < FLOAT32_STEP:
        return "erased"
    if log_ratio < log(t.weak):
        return "vanishing"
    return "weak" if log_ratio < log(t.reaches) else "reaches"


def findings(e: Evidence, t: Thresholds) -> list[Finding]:
    """All findings, the weightiest first; among equals cut, exploding, reach come first."""
    found = [
        *_cut(e, t),
        *_exploding(e, t),
        _reach(e, t),
        *_updates(e, t),
        *_cause(e, t),
        *_training(e, t),
        *_use(e, t),
    ]
    return sorted(found, key=lambda f: -f.severity)


def label(found: list[Finding]) -> str:
    """The word of the verdict: the weightiest of cut, exploding and how far the gradient reaches."""
    leading = [f for f in found if f.id in ("V1", "V7", "V2", "V0")]
    worst = max(leading, key=lambda f: f.severity)
    if worst.id == "V2" and worst.label == "reaches" and any(f.label == "balanced" for f in found):
        return "balanced"
    return worst.label


def _cut(e: Evidence, t: Thresholds) -> Iterator[Finding]:
    if e.bptt_steps is None:
        return
    where = ["/architecture/bptt_steps", "/verdict/need_lag_steps"]
    if e.bptt_steps <= e.need:
        text = (
            f"gradients go back {counted(e.bptt_steps, 'step')} in training and cannot see a lag of {e.need}, whatever the"
            " network"
        )
        yield Finding("V1", "cut", 3, "exact", text, where, ["williams1990"])
    elif e.coverage is not None and e.coverage < t.coverage:
        text = (
            f"windows of {counted(e.bptt_steps, 'step')} hold only {e.coverage:.0%} of the pairs {counted(e.need, 'step')}"
            " apart; the others are cut where a window begins"
        )
        yield Finding("V1", "cut", 2, "exact", text, where, ["williams1990"])
    if e.bias_at_bptt is not None and e.bias_at_bptt > t.bias_good:
        advice = f"; {counted(e.bias_horizon, 'step')} would keep it below {t.bias_good:g}" if e.bias_horizon else ""
        bad = e.bias_at_bptt > t.bias_bad
        text = (
            f"stopping after {counted(e.bptt_steps, 'step')} changes the gradient by {e.bias_at_bptt:.0%} of its length"
            f"{advice}"
        )
        yield Finding("V4", "biased", 2 if bad else 1, "exact", text, [f"/layers/{e.layer}/truncation"], ["aicher2019"])


def _reach(e: Evidence, t: Thresholds) -> Finding:
    where = ["/verdict/ratio_at_need_log10", LAG.format(e.layer)]
    refs = ["hochreiter1991", "pascanu2013"]
    if e.silent is not None:
        return _silence(e, e.silent)
    back = f"{counted(e.need, 'step')} back"
    if e.log_ratio_at_need is None or not measured(e, t):
        text = (
            f"only {counted(e.pairs_at_need, 'loss', 'losses')} of the probe could be followed {back}, too few to judge;"
            " probe more sequences, or longer ones"
        )
        return Finding("V0", "not-measurable", 1, "none", text, where)
    kind = ratio_class(e.log_ratio_at_need, t)
    size = decimal(e.log_ratio_at_need)
    confidence = "high"
    if e.interval is not None and ratio_class(e.interval[0], t) != ratio_class(e.interval[1], t):
        confidence = "low: the 95 % interval spans two classes"
    if kind == "reaches":
        text = f"the gradient reaches {back}: it is still {size} of its size at the read-out"
        return Finding("V2", kind, 0, confidence, text, where, refs)
    half = f"; it falls to half within {counted(e.half_life, 'step', form='.2g')}" if e.half_life is not None else ""
    text = f"the signal from {back} is {size} of the one at the read-out{half}"
    if kind == "erased":
        text += ", and float32 loses it entirely when it is added to the rest"
    if e.outlook is not None:
        text += f"; {e.outlook}"
    severity = {"weak": 1, "vanishing": 2, "erased": 3}[kind]
    uses = e.context is not None and e.context >= e.need
    if e.solved or uses:
        severity = min(severity, 1)
        text += ". The network " + (
            f"does use {counted(e.context or 0, 'step')} of context" if uses else "already solves its task on the probe"
        )
        text += ", so this is no defect: a remembered fact needs no gradient (Bengio, Simard & Frasconi 1994)"
        refs = [*refs, "bengio1994"]
    return Finding("V2", "vanishing" if kind != "weak" else kind, severity, confidence, text, where, refs)


def _silence(e: Evidence, where: Literal["head", "losses", "layers"]) -> Finding:
    """Nothing to follow back at all: more sequences would not help."""
    if where == "layers":
        text = (
            "no gradient comes down to the first layer: one leaves the read-out, but the layers above pass none of it on;"
            " their weights are 0, or their units inactive or saturated"
        )
    else:
        cause = (
            "all weights of the head are 0"
            if where == "head"
            else "the gradient of every loss by the state that it reads is exactly 0"
        )
        text = f"no gradient leaves the read-out at all: {cause}"
    if e.solved:
        text += ". The network already solves its task on the probe, so this is no defect"
    else:
        text += f"; {'the first layer learns nothing' if where == 'layers' else 'nothing before the read-out learns'}"
    return Finding("V0", "not-measurable", 1 if e.solved else 2, "exact", text, [LAG.format(e.layer)])


def _exploding(e: Evidence, t: Thresholds) -> Iterator[Finding]:
    if e.nonfinite:
        text = f"{counted(e.nonfinite, 'gradient')} of the probe {'is' if e.nonfinite == 1 else 'are'} not finite"
        yield Finding("V7", "exploding", 3, "exact", text, ["/norms/global/nonfinite"])
    # a state that a task keeps drifts a little over few steps: only what grows tenfold over the needed lag is called so,
    # and over no more steps than were measured
    horizon = e.need if e.longest is None else min(e.need, e.longest)
    chaotic = e.lambda_interval is not None and e.lambda_interval[0] * horizon > log(t.balanced_ratio)
    if chaotic and e.lambda_1 is not None:
        text = (
            f"two states that differ a little drift apart by a factor {exp(e.lambda_1):.3g} at each step of your data"
            f" (largest Lyapunov exponent {e.lambda_1:+.3f} nats): gradients over {_spans(e.need, horizon)} must explode"
        )
        yield Finding(
            "V7", "exploding", 2, "measured", text, [f"/layers/{e.lambda_layer}/lyapunov/values/0"], ["mikhaeil2022"]
        )
    if e.peak > log(t.exploding_peak):
        text = f"the gradient grows up to {exp(min(e.peak, 700.0)):.3g} times on its way back (largest at lag {e.peak_lag})"
        yield Finding("V7", "exploding", 2, "measured", text, [LAG.format(e.peak_layer)], ["pascanu2013"])
    elif e.peak > log(t.transient_peak) and e.henrici > t.henrici and not chaotic:
        text = f"the gradient is first amplified {exp(e.peak):.3g} times (lag {e.peak_lag}), then shrinks; not bad in itself"
        yield Finding("V8", "transient", 1, "measured", text, [LAG.format(e.peak_layer)], ["kerg2019", "orhan2020"])
    if e.norm_spread is not None and e.norm_spread > t.norm_spread and not (e.clip_fraction or 0) > 0:
        text = (
            f"the largest gradient of the probe's batches is {e.norm_spread:.3g} times the median, and nothing clips it"
        )
        yield Finding("V7", "exploding", 2, "measured", text, ["/norms/global/max_over_median"], ["pascanu2013"])


def _spans(need: int, horizon: int) -> str:
    """Over how many steps an exponent says something."""
    if horizon == need:
        return "long spans"
    return (
        f"the {counted(horizon, 'step')} that enough losses of the probe go back (not the {need} that you need: so far"
        " nothing was measured)"
    )


def _updates(e: Evidence, t: Thresholds) -> Iterator[Finding]:
    if not measured(e, t):
        return
    if e.far_share is not None and abs(e.far_share) < t.one_sided_share and e.need >= 4:
        text = (
            f"all but {100 * abs(e.far_share):.2g} % of the update of W_hh comes from the last"
            f" {counted((e.need + 1) // 2, 'step')} before the read-out; earlier inputs hardly change the weights"
        )
        yield Finding("V3", "one-sided", 1, "exact", text, [f"/layers/{e.layer}/lag/share/W_hh"])
    if e.participation is not None and e.participation < t.collapsed:
        text = (
            f"{counted(e.need, 'step')} back every error arrives in nearly the same direction (participation ratio"
            f" {e.participation:.2f}): what is left of the gradient carries one number"
        )
        yield Finding(
            "V9", "collapsed", 1, "measured", text, [f"/layers/{e.layer}/lag/participation"], ["engelken2023"]
        )


def _cause(e: Evidence, t: Thresholds) -> Iterator[Finding]:
    total = e.squash + e.weights
    first = "the gate's own path" if e.gated else "squashing"
    split = f"weights {e.weights:+.2f} nats per step, {first} {e.squash:+.2f}"
    where = [f"/layers/{e.layer}/gain_nats_per_step"]
    if not measured(e, t):
        pass
    elif e.log_ratio_at_need == float("-inf"):  # a mean of logarithms says nothing of a product with a zero in it
        text = (
            f"cause: within {counted(e.need, 'step')} the gradient becomes exactly 0: units are inactive or saturated, or"
            " weights are 0"
        )
        yield Finding("V6", "cause", 1, "exact", text, where)
    elif abs(total) * e.need <= log(t.balanced_ratio):
        text = (
            f"{split}: over {counted(e.need, 'step')} they balance, whatever the spectral radius ({e.rho:.2f}) or saturation"
            " say"
        )
        yield Finding("V5", "balanced", 0, "exact", text, where)
    elif total * e.need < -log(t.cause_ratio):
        weights_to_blame = e.weights < e.squash
        if weights_to_blame:
            cause = "the weights shrink it"
        elif e.gated:
            cause = "the gates that keep the state let go of it"
        else:
            cause = "saturated units squash it"
        text = f"cause: {cause} ({split}). The spectral radius {e.rho:.2f} alone does not tell"
        rule = "V5" if weights_to_blame or e.gated else "V6"
        yield Finding(rule, "cause", 1, "exact", text, where)
    else:
        yield Finding("V5", "split", 0, "exact", split, where)
    if e.dead_f32:
        verb = "passes" if e.dead_f32 == 1 else "pass"
        text = f"{counted(e.dead_f32, 'unit')} never {verb} any gradient in float32: 1 - h^2 is exactly 0 at every step"
        yield Finding("V6", "dead", 1, "exact", text, [f"/layers/{e.layer}/saturation/dead_f32_units"])


def _training(e: Evidence, t: Thresholds) -> Iterator[Finding]:
    if e.clip_fraction is None:
        return
    wide = e.norm_spread is not None and e.norm_spread > t.norm_spread
    if e.clip_fraction > t.clipped or (e.clip_fraction == 0 and wide):
        much = (
            f"clips {e.clip_fraction:.0%} of the probe's batches"
            if e.clip_fraction
            else "clips nothing although norms vary widely"
        )
        hint = (
            f"; a norm of {e.clip_suggested:.3g} would clip the larger half of them at most" if e.clip_suggested else ""
        )
        yield Finding("V10", "clip", 1, "measured", f"the threshold {much}{hint}", ["/norms/clip"], ["pascanu2013"])
    if wide and e.log_ratio_at_need is not None and e.log_ratio_at_need >= log(t.reaches):
        text = (
            "the memory is long and the gradient's size varies widely: as memory grows the loss gets steeper even without"
            " explosion; a smaller learning rate is safer"
        )
        yield Finding("V12", "sharp", 1, "measured", text, ["/norms/global/max_over_median"], ["zucchet2024"])
    elif e.update_ratio is not None and e.update_ratio > t.update_ratio:
        text = f"one update moves the weights by {e.update_ratio:.0%} of their length; a smaller learning rate is safer"
        yield Finding("V12", "sharp", 1, "measured", text, ["/update_ratio"], ["zucchet2024"])


def _use(e: Evidence, t: Thresholds) -> Iterator[Finding]:
    reaches = measured(e, t) and e.log_ratio_at_need is not None and e.log_ratio_at_need >= log(t.weak)
    if e.context is None or not reaches or e.context * 4 > e.need:
        return
    asks = ""
    if e.demand is not None:
        asks = (
            f"; the data tell something up to {counted(e.demand, 'step')} back"
            if e.demand > e.context
            else f"; the data tell nothing beyond {counted(e.demand, 'step')} either"
        )
    text = f"the gradient could use {counted(e.need, 'step')}, the network gains from {e.context} only{asks}"
    yield Finding("V11", "unused", 1, "measured", text, ["/context_use"], ["khandelwal2018"])


def counted(n: float, noun: str, plural: str = "", form: str = "") -> str:
    """A number and what it counts: 1 step, 2 steps. `form` is how the number is printed."""
    number = f"{n:{form}}"
    return f"{number} {noun if number == '1' else plural or noun + 's'}"


def decimal(log_value: float) -> str:
    """A number given by its natural logarithm, in decimal, also when no float could hold it."""
    if log_value == float("-inf"):
        return "0"
    exponent = log_value / LN10
    if -4 < exponent < 4:
        return f"{exp(log_value):.3g}"
    whole = int(exponent // 1)
    return f"{10 ** (exponent - whole):.1f}e{whole:+d}"
