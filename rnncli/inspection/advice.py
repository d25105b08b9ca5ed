"""What to do about it: each piece of advice is a change of the config and names the number that it should move.

Sources: Saxe, McClelland & Ganguli 2014 (orthogonal); Jozefowicz, Zaremba & Sutskever 2015 (forget bias 1); Tallec & Ollivier
2018 (chrono); Le, Jaitly & Hinton 2015 (IRNN); Pascanu, Mikolov & Bengio 2013 (clipping); Aicher, Foti & Fox 2019 (window).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnncli.inspection.calibration import Thresholds
from rnncli.inspection.verdict import Evidence, Finding, counted

DEFAULTS = {"model.init": "orthogonal", "model.forget_bias": 1.0, "model.chrono": None}  # of keys a change leaves alone
RATIO = "/verdict/ratio_at_need_log10"
CHRONO_FROM = 20  # steps from which on a bias drawn for the gap is worth more than a bias of 1


@dataclass(frozen=True)
class Advice:
    """One change. `expects` names a metric of the report, where it stands and where it should go (None: not predicted)."""

    id: str
    text: str
    change: dict[str, Any]
    expects: dict[str, Any]


def advise(e: Evidence, found: list[Finding], cell: str, init: str | None, pooling: str, t: Thresholds) -> list[Advice]:
    """In the order in which they are worth trying; empty where nothing is wrong."""
    troubles = {f.label for f in found if f.severity >= 2}
    if not troubles or e.silent is not None:  # no change of cell or window helps where nothing leaves the read-out
        return []
    advice = [*_cut(e, troubles), *_short_reach(e, troubles, cell, init, pooling, t), *_too_large(e, troubles)]
    return [*advice, _nothing(e)] if e.context is not None and e.context < e.need else advice


def _cut(e: Evidence, troubles: set[str]) -> list[Advice]:
    if not troubles & {"cut", "biased"}:
        return []
    if e.at_ends:
        steps = max(e.bias_horizon or 0, e.need + 1)
        expects = {"metric": "/architecture/bptt_steps", "from": e.bptt_steps, "to": steps}
        return [
            Advice(
                "longer-window",
                f"let gradients go back {counted(steps, 'step')}",
                {"training.bptt_steps": steps},
                expects,
            )
        ]
    steps = max(e.bias_horizon or 0, 2 * e.need)
    stride = max(1, steps - e.need)
    return [
        Advice(
            "longer-window",
            f"let gradients go back {counted(steps, 'step')}, {stride} of them new in each window: then every pair {e.need}"
            " apart is seen",
            {"training.bptt_steps": steps, "training.bptt_stride": stride},
            {"metric": "/architecture/bptt_steps", "from": e.bptt_steps, "to": steps},
        )
    ]


def _short_reach(
    e: Evidence, troubles: set[str], cell: str, init: str | None, pooling: str, t: Thresholds
) -> list[Advice]:
    if "vanishing" not in troubles:
        return []
    metric = {"metric": RATIO, "from": _decimal(e.log_ratio_at_need), "to": None}
    gap = max(3, e.need)  # the shortest that model.chrono takes
    chrono = {"model.chrono": gap} if e.need > CHRONO_FROM else {}
    name = f" with biases for gaps of up to {gap} steps" if chrono else ""
    advice = []
    if cell in ("rnn", "relu"):
        if init != "orthogonal" and cell == "rnn":
            text = (
                "begin with an orthogonal W_hh: it neither shrinks nor grows what passes while units are not saturated"
            )
            advice.append(Advice("orthogonal", text, {"model.cell": "rnn", "model.init": "orthogonal"}, metric))
        advice.append(Advice("lstm", f"an LSTM{name}", {"model.cell": "lstm", **chrono}, metric))
        advice.append(Advice("gru", f"a GRU{name}", {"model.cell": "gru", **chrono}, metric))
        if cell == "rnn":
            change = {"model.cell": "relu", "model.init": "identity", "training.clip_norm": 1.0}
            advice.append(
                Advice("irnn", "a ReLU network that begins with W_hh = I, with clipped gradients", change, metric)
            )
    else:
        text = f"draw the gates' biases for gaps of up to {gap} steps"
        own = {"gru_before": {"model.cell": "gru", "model.reset_gate": "before"}}.get(cell, {"model.cell": cell})
        advice.append(Advice("chrono", text, {**own, "model.chrono": gap}, metric))
    if pooling == "last":
        text = "let the head read the mean of all states: no step is far from the read-out then"
        advice.append(Advice("mean-pooling", text, {"model.pooling": "mean"}, metric))
    if e.squash < e.weights and not e.gated:
        text = "a smaller learning rate or weight decay keeps units out of saturation"
        gain = {"metric": f"/layers/{e.layer}/gain_nats_per_step", "from": e.squash, "to": None}
        advice.append(Advice("less-saturation", text, {"training.weight_decay": 1e-4}, gain))
    return advice


def _too_large(e: Evidence, troubles: set[str]) -> list[Advice]:
    if "exploding" not in troubles:
        return []
    if e.clip_fraction:
        text = "halve the learning rate: the gradient is clipped already"
        return [Advice("lower-rate", text, {}, {"metric": "/update_ratio", "from": e.update_ratio, "to": None})]
    threshold = e.clip_suggested or 1.0
    spread = {"metric": "/norms/global/max_over_median", "from": e.norm_spread, "to": 1.0}
    text = f"clip the gradient's norm at {threshold:.3g} and halve the learning rate"
    return [Advice("clip", text, {"training.clip_norm": round(threshold, 6)}, spread)]


def _nothing(e: Evidence) -> Advice:
    steps = f"{counted(e.context or 0, 'step')} of context {'is' if e.context == 1 else 'are'} all"
    text = f"nothing, if {steps} that this task needs: more gains less than {e.context_gain} here"
    return Advice("nothing", text, {}, {"metric": "/context_use", "from": e.context, "to": e.context})


def with_predictions(advice: list[dict[str, Any]], what_if: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with what the table of what-ifs says of each change; of those the one that promises most comes first.

    Both ends of such a prediction are rows of the table, that is, of one loss a sequence: what the verdict says of all
    losses is another number. `what_if` names the row.
    """
    rows = [row for row in what_if if row["change"]]
    base = next((row for row in what_if if not row["change"]), None)
    found, predicted = [], []
    for one in advice:
        change = {key: value for key, value in one["change"].items() if key.startswith("model.")}
        row = next((row for row in rows if _makes(change, row["change"])), None)
        if change and row is not None and one["expects"]["metric"] == RATIO:
            ends = {"from": base["ratio_at_need_log10"]} if base is not None else {}
            one = {
                **one,
                "expects": {**one["expects"], **ends, "to": row["ratio_at_need_log10"], "what_if": row["name"]},
            }
            predicted.append(one)
        found.append(one)
    best = iter(sorted(predicted, key=lambda one: -_or_least(one["expects"]["to"])))
    return [next(best) if one in predicted else one for one in found]  # the others keep their places


def _makes(change: Mapping[str, Any], variant: Mapping[str, Any]) -> bool:
    """Whether a recipe that is otherwise left at its first values becomes this variant by `change`."""
    whole = {**DEFAULTS, **change}
    return change.keys() <= variant.keys() and all(whole.get(key) == value for key, value in variant.items())


def _or_least(value: float | None) -> float:
    return -math.inf if value is None else value


def _decimal(log_value: float | None) -> float | None:
    return log_value / math.log(10.0) if log_value is not None and math.isfinite(log_value) else None
