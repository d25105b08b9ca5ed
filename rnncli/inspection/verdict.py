"""What the numbers mean, in sentences a student understands (V0-V12).

Eigenvalues and saturation never make a verdict: a net with spectral radius 2.5 and half its units saturated can carry a
gradient perfectly, because the two cancel. Only the product along the data may (docs/gradients.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp, log

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
            f"gradients go back {e.bptt_steps} steps in training and cannot see a lag of {e.need}, whatever the network"
        )
        yield Finding("V1", "cut", 3, "exact", text, where, ["williams1990"])
    elif e.coverage is not None and e.coverage < t.coverage:
        text = (
            f"windows of {e.bptt_steps} steps hold only {e.coverage:.0%} of the pairs {e.need} steps apart; the others are"
            " cut where a window begins"
        )
        yield Finding("V1", "cut", 2, "exact", text, where, ["williams1990"])
    if e.bias_at_bptt is not None and e.bias_at_bptt > t.bias_good:
        advice = f"; {e.bias_horizon} steps would keep it below {t.bias_good:g}" if e.bias_horizon else ""
        bad = e.bias_at_bptt > t.bias_bad
        text = f"stopping after {e.bptt_steps} steps changes the gradient by {e.bias_at_bptt:.0%} of its length{advice}"
        yield Finding("V4", "biased", 2 if bad else 1, "exact", text, [f"/layers/{e.layer}/truncation"], ["aicher2019"])


def _reach(e: Evidence, t: Thresholds) -> Finding:
    where = ["/verdict/ratio_at_need_log10", LAG.format(e.layer)]
    refs = ["hochreiter1991", "pascanu2013"]
    if e.log_ratio_at_need is None or not measured(e, t):
        text = (
            f"only {e.pairs_at_need} losses of the probe could be followed {e.need} steps back, too few to judge; probe more"
            " sequences, or longer ones"
        )
        return Finding("V0", "not-measurable", 1, "none", text, where)
    kind = ratio_class(e.log_ratio_at_need, t)
    size = decimal(e.log_ratio_at_need)
    confidence = "high"
    if e.interval is not None and ratio_class(e.interval[0], t) != ratio_class(e.interval[1], t):
        confidence = "low: the 95 % interval spans two classes"
    if kind == "reaches":
        text = f"the gradient reaches {e.need} steps back: it is still {size} of its size at the read-out"
        return Finding("V2", kind, 0, confidence, text, where, refs)
    half = f"; it falls to half within {e.half_life:.2g} steps" if e.half_life is not None else ""
    text = f"the signal from {e.need} steps back is {size} of the one at the read-out{half}"
    if kind == "erased":
        text += ", and float32 loses it entirely when it is added to the rest"
    if e.outlook is not None:
        text += f"; {e.outlook}"
    severity = {"weak": 1, "vanishing": 2, "erased": 3}[kind]
    uses = e.context is not None and e.context >= e.need
    if e.solved or uses:
        severity = min(severity, 1)
        text += ". The network " + (
            f"does use {e.context} steps of context" if uses else "already solves its task on the probe"
        )
        text += ", so this is no defect: a remembered fact needs no gradient (Bengio, Simard & Frasconi 1994)"
        refs = [*refs, "bengio1994"]
    return Finding("V2", "vanishing" if kind != "weak" else kind, severity, confidence, text, where, refs)


def _exploding(e: Evidence, t: Thresholds) -> Iterator[Finding]:
    if e.nonfinite:
        text = f"{e.nonfinite} gradients of the probe are not finite"
        yield Finding("V7", "exploding", 3, "exact", text, ["/norms/global/nonfinite"])
    # a state that a task keeps drifts a little over few steps: only what grows tenfold over the needed lag is called so
    chaotic = e.lambda_interval is not None and e.lambda_interval[0] * e.need > log(t.balanced_ratio)
    if chaotic and e.lambda_1 is not None:
        text = (
            f"two states that differ a little drift apart by a factor {exp(e.lambda_1):.3g} at each step of your data"
            f" (largest Lyapunov exponent {e.lambda_1:+.3f} nats): gradients over long spans must explode"
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


def _updates(e: Evidence, t: Thresholds) -> Iterator[Finding]:
    if not measured(e, t):
        return
    if e.far_share is not None and abs(e.far_share) < t.one_sided_share and e.need >= 4:
        text = (
            f"all but {100 * abs(e.far_share):.2g} % of the update of W_hh comes from the last {(e.need + 1) // 2} steps before"
            " the read-out; earlier inputs hardly change the weights"
        )
        yield Finding("V3", "one-sided", 1, "exact", text, [f"/layers/{e.layer}/lag/share/W_hh"])
    if e.participation is not None and e.participation < t.collapsed:
        text = (
            f"{e.need} steps back every error arrives in nearly the same direction (participation ratio"
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
        text = f"cause: within {e.need} steps the gradient becomes exactly 0: units are inactive or saturated, or weights are 0"
        yield Finding("V6", "cause", 1, "exact", text, where)
    elif abs(total) * e.need <= log(t.balanced_ratio):
        text = (
            f"{split}: over {e.need} steps they balance, whatever the spectral radius ({e.rho:.2f}) or saturation say"
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
        text = f"{e.dead_f32} units never pass any gradient in float32: 1 - h^2 is exactly 0 at every step"
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
            f"; the data tell something up to {e.demand} steps back"
            if e.demand > e.context
            else f"; the data tell nothing beyond {e.demand} steps either"
        )
    text = f"the gradient could use {e.need} steps, the network gains from {e.context} only{asks}"
    yield Finding("V11", "unused", 1, "measured", text, ["/context_use"], ["khandelwal2018"])


def decimal(log_value: float) -> str:
    """A number given by its natural logarithm, in decimal, also when no float could hold it."""
    if log_value == float("-inf"):
        return "0"
    exponent = log_value / LN10
    if -4 < exponent < 4:
        return f"{exp(log_value):.3g}"
    whole = int(exponent // 1)
    return f"{10 ** (exponent - whole):.1f}e{whole:+d}"
