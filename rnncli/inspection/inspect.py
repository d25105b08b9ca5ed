"""All measurements of one network on one set of probe sequences, gathered into a result."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnncli import __version__, rng
from rnncli.inspection import sections
from rnncli.inspection.advice import advise
from rnncli.inspection.calibration import calibration
from rnncli.inspection.context_use import ContextUse, context_use
from rnncli.inspection.demand import Demand, label_demand, length_report, sequence_demand
from rnncli.inspection.evidence import ChainFound, gather, sampled_lags
from rnncli.inspection.lag_collector import ChainLags, lag_slots
from rnncli.inspection.lag_matrix import WalkSettings, walk
from rnncli.inspection.lag_statistics import (
    bootstrap,
    input_shares,
    lag_curve,
    quartiles,
    share_error,
    shares,
    sum_error,
    truncation,
)
from rnncli.inspection.lyapunov import spectrum
from rnncli.inspection.norms import Clip, NormReport, measure_norms, update_ratio
from rnncli.inspection.probe import Probe
from rnncli.inspection.result import InspectionResult
from rnncli.inspection.rollout import Rollout, roll_out
from rnncli.inspection.verdict import Evidence, findings, label
from rnncli.rnn.packing import pack

SCHEMA_VERSION = 1
LEVELS_OF_DETAIL = ("quick", "standard", "deep")
TOP_EXPONENTS = 8
NORM_BATCHES = {"quick": 10, "standard": 200, "deep": 200}
CONTEXT_TERMS = {"standard": 300, "deep": 2000}
NOISE_ROWS = 64  # sequences from which on the noise scale is measured
BOTH_DIRECTIONS = 2


@dataclass(frozen=True)
class Inspector:
    """How closely a probe is looked at."""

    level: str = "standard"
    seed: int = 1
    threads: int = 1
    max_lag: int | None = None
    as_trained: bool = False  # only pairs inside a window of truncated BPTT

    @property
    def quick(self) -> bool:
        return self.level == "quick"

    @property
    def deep(self) -> bool:
        return self.level == "deep"


@dataclass(frozen=True)
class Inspection:
    """The document and everything that it was made of."""

    result: InspectionResult
    found: list[ChainFound]
    rollout: Rollout
    evidence: Evidence


def inspect(probe: Probe, how: Inspector = Inspector()) -> InspectionResult:
    """Measure how the losses of a probe travel back through time, and say what it means."""
    return inspect_closely(probe, how).result


def inspect_closely(probe: Probe, how: Inspector) -> Inspection:
    """The same, with everything that was measured."""
    rollout = roll_out(probe.network, probe.data, probe.targets)
    need, source = needed_lag(probe, rollout, how)
    found = _chains(probe, rollout, need, how)
    demand = None if how.quick else _demand(probe, how.seed)
    used = _context(probe, how)
    norms, moved = _norms(probe, how)
    longest = int(rollout.lengths.max())
    partial = how.as_trained or (how.max_lag or longest) < longest - 1
    evidence = gather(probe, rollout, found, need, demand, used, norms, moved)
    if partial:  # the calibration's shares are of all lags
        evidence = replace(evidence, outlook=None)
    thresholds = calibration().thresholds
    said = findings(evidence, thresholds)
    model = probe.network.spec
    worst = found[evidence.layer]
    verdict = {
        "label": label(said),
        "severity": max(f.severity for f in said),
        "need_lag_steps": need,
        "need_source": source,
        "ratio_at_need_log10": sections.log10(evidence.log_ratio_at_need),
        "ratio_at_need_log10_ci95": sections.pair(evidence.interval),
        "input_share_at_need_log10": sections.log10(worst.heard.at(need)),
        "input_share_at_need_log10_ci95": sections.pair(worst.intervals.input_share),
        "half_life_steps": {"value": worst.half_life, "ci95": worst.intervals.half_life},
        "calibration_version": calibration().version,
        "findings": [vars(f) for f in said],
        "advice": [vars(a) for a in advise(evidence, said, model.cell, probe.init, model.pooling, thresholds)],
    }
    shown = found[0]
    words = _words(probe, rollout)
    result = InspectionResult(
        schema_version=SCHEMA_VERSION,
        tool={"name": "rnncli", "version": __version__, "numpy": np.__version__},
        input={
            **probe.source,
            "level": how.level,
            "seed": how.seed,
            "sequences": int(rollout.rows.size),
            "longest": longest,
            "loss_terms": int(rollout.loss_M.size),
            "loss": float(rollout.loss_M.mean()),
            "loss_unit": probe.loss_unit,
            "accuracy": _accuracy(probe, rollout),
            "stage": "trained" if probe.trained else "first values",
            "dtype": "float64",
        },
        architecture=_architecture(probe),
        verdict=verdict,
        layers=[_layer(one, rollout, need, how) for one in found],
        total_adjoint=sections.total_adjoint(rollout, shown.lags, shown.chain.hidden),
        lag_matrix=sections.shown_matrix(
            rollout, shown.chain, shown.lags, words(_matrix_row(rollout)) if words else None
        ),
        influence=_influence(probe, rollout, shown, words) if words and not how.quick else [],
        norms=norms.to_json() if norms else None,
        update_ratio=moved,
        data={
            "length": length_report(rollout.lengths),
            "mi_nats_by_lag": demand.to_json() if demand else None,
        },
        context_use=used.to_json() if used else None,
        trajectory=[],
        what_if=[],
        prove=None,
        self_checks=_checks(found, partial),
    )
    return Inspection(result, found, rollout, evidence)


def needed_lag(probe: Probe, rollout: Rollout, how: Inspector) -> tuple[int, str]:
    """The lag that the task needs and who says so: the user, the data, or the length of the sequences."""
    if probe.need is not None:
        return probe.need, probe.need_source
    if probe.task == "language-model" and not how.quick:
        demand = _demand(probe, how.seed)
        if demand is not None and demand.needed_lag is not None:
            return max(1, demand.needed_lag - 1), "mutual_information"
    lengths = rollout.lengths - 1
    if probe.network.spec.pooling != "last":  # every state is read: no token is far from the read-out
        return max(1, int(np.quantile(lengths, 0.5, method="inverted_cdf")) // 2), "half of the median length"
    halved = ""
    if probe.network.spec.bidirectional:  # one of the two read-outs is never farther than half the way
        lengths, halved = lengths // 2, "half of the "
    far = np.sort(lengths)[-min(lengths.size, calibration().thresholds.pairs)]  # as far as enough sequences go
    p90 = int(np.quantile(lengths, 0.9, method="inverted_cdf"))
    if far < p90 and 2 * calibration().thresholds.pairs <= lengths.size:
        return max(1, int(far)), f"{halved}length that {calibration().thresholds.pairs} sequences have"
    return max(1, p90), f"{halved}length_p90"


def _chains(probe: Probe, rollout: Rollout, need: int, how: Inspector) -> list[ChainFound]:
    longest = int(rollout.lengths.max())
    sampled = sampled_lags(longest, need)
    settings = WalkSettings(
        max_lag=how.max_lag,
        window=probe.training_bptt if how.as_trained else None,
        last_only=how.quick,
        sums=not how.quick,
        inputs=True,
        noise=how.deep and rollout.rows.size >= NOISE_ROWS,
        sample_lags=() if how.quick else sampled,
        threads=how.threads,
    )
    found = []
    for chain, lags in zip(rollout.chains, walk(rollout, settings), strict=True):
        count = 0 if how.quick else chain.state_size if how.deep else TOP_EXPONENTS
        found.append(
            ChainFound(
                chain,
                lags,
                lag_curve(lags.log_norm_LA),
                quartiles(input_shares(lags.input_log_LA)),
                bootstrap(lags, need, how.seed),
                None if how.quick else truncation(lags, lag_slots(longest)),
                spectrum(chain, rollout.offsets, count, how.seed) if count else None,
                sections.weights(chain, 1 if how.quick else longest, how.deep),
            )
        )
    return found


def _layer(one: ChainFound, rollout: Rollout, need: int, how: Inspector) -> dict[str, Any]:
    chain, lags = one.chain, one.lags
    sigma, rho = one.weights[-1]["sigma_max"], one.weights[-1]["rho"]
    layer: dict[str, Any] = {
        "layer": chain.place.layer,
        "direction": sections.direction(chain),
        "weights": one.weights,
        "gain_nats_per_step": sections.gain(chain, lags, need, one.intervals.gain),
        **sections.activity(chain),
        "lag": sections.lag_table(chain, lags, one.curve, one.heard, sigma, rho),
        "horizons_steps": sections.horizons(one.curve, one.truncation, shares(lags)[0]["W_hh"]),
    }
    if not how.quick:
        assert one.truncation is not None
        assert one.spectrum is not None
        longest = int(rollout.lengths.max())
        sampled = sampled_lags(longest, need)
        layer["lag"]["participation"] = sections.collapse(lags, sampled)
        layer["truncation"] = sections.truncated(one.truncation)
        layer["lyapunov"] = sections.exponents(one.spectrum, chain)
        if lags.square_DR.size:
            layer["lag"]["noise"] = sections.noise(lags, longest)
    if how.deep:
        layer["jacobian"] = sections.products(chain, rollout, sigma)
    return layer


def _demand(probe: Probe, seed: int) -> Demand | None:
    """What the data ask for (M17); None where numbers are read."""
    if probe.data.ids is None or probe.task == "regressor":
        return None
    if probe.task == "language-model":
        return sequence_demand(probe.data, seed=seed)
    if probe.network.spec.each:
        return sequence_demand(probe.data, labels=probe.targets, seed=seed)
    return label_demand(probe.data, probe.targets, seed=seed)


def _context(probe: Probe, how: Inspector) -> ContextUse | None:
    """What the network uses (M18); only of a trained one."""
    if how.quick or not probe.trained:
        return None
    return context_use(probe.network, probe.data, probe.targets, terms=CONTEXT_TERMS[how.level], seed=how.seed)


def _norms(probe: Probe, how: Inspector) -> tuple[NormReport | None, dict[str, float | None] | None]:
    """M14 and M15 on minibatches drawn from the probe; None where nothing is known of the training."""
    if probe.training is None:
        return None, None
    size = probe.training.batch_size
    rows = np.flatnonzero(probe.data.lengths > 0)
    batches = []
    for i in range(NORM_BATCHES[how.level]):
        draws = rng.uniforms(rng.key(how.seed, rng.Stream.PROBE, part=5000 + i), size)
        chosen = rows[(draws * rows.size).astype(np.int64)] if rows.size > size else rows
        batch = pack(probe.data, np.sort(chosen))
        at = batch.position_N if probe.network.spec.each else batch.rows_B
        batches.append((batch, probe.targets[at], None))
        if rows.size <= size:
            break  # there is one batch only
    smoothing = probe.training.label_smoothing
    report = measure_norms(
        probe.network, batches, Clip.of(probe.training), smoothing=smoothing, train_embedding=probe.train_embedding
    )
    batch, targets, _ = batches[0]
    gradients = probe.network.gradients(batch, targets, None, None, smoothing)
    return report, update_ratio(probe.network, gradients, probe.training, train_embedding=probe.train_embedding)


def _accuracy(probe: Probe, rollout: Rollout) -> float | None:
    """Share of labels that are found; None for numbers, sets of labels, and where the softmax is too wide to be kept."""
    if probe.network.spec.head in ("regression", "multilabel") or not rollout.logits_MC.size:
        return None
    predicted = probe.network.head.probabilities(rollout.logits_MC).argmax(axis=1)
    return float((predicted == rollout.targets_M).mean())


def _architecture(probe: Probe) -> dict[str, Any]:
    spec, training = probe.network.spec, probe.training
    found: dict[str, Any] = {
        "task": probe.task,
        "cell": "gru" if spec.cell == "gru_before" else spec.cell,
        "gru_convention": {
            "gru": "reset after the product (torch)",
            "gru_before": "reset before the product (Cho 2014)",
        }.get(spec.cell),
        "layers": spec.layers,
        "directions": BOTH_DIRECTIONS if spec.bidirectional else 1,
        "hidden": spec.hidden_size,
        "input": spec.input_size,
        "pooling": None if spec.each else spec.pooling,
        "bptt_steps": probe.training_bptt[0] if probe.training_bptt else None,
        "bptt_stride": probe.training_bptt[1] if probe.training_bptt else None,
    }
    if training is not None:
        found |= {"optimizer": training.optimizer, "lr": training.lr, "clip": Clip.of(training).to_json()}
    return found


def _words(probe: Probe, rollout: Rollout) -> Callable[[int], list[str]] | None:
    """Names of a row's tokens."""
    if probe.words is None or not rollout.ids_N.size:
        return None
    words = probe.words

    def of(row: int) -> list[str]:
        return words(rollout.ids_N[rollout.offsets[row] : rollout.offsets[row + 1]])

    return of


def _matrix_row(rollout: Rollout) -> int:
    fits = np.flatnonzero(rollout.lengths <= sections.MATRIX_STEPS)
    return int(fits[np.argmax(rollout.lengths[fits])]) if fits.size else 0


def _influence(
    probe: Probe, rollout: Rollout, shown: ChainFound, words: Callable[[int], list[str]]
) -> list[dict[str, Any]]:
    found = []
    for row in sections.example_rows(rollout):
        target = ""
        if probe.labels is not None and not probe.network.spec.each and probe.targets.ndim == 1:
            target = probe.labels[int(rollout.targets_M[row])]
        found.append(sections.influence(rollout, shown.lags, row, words(row), target))
    return found


def _checks(found: list[ChainFound], partial: bool) -> dict[str, Any]:
    """What must be zero but for rounding. `partial`: lags were left out on purpose, and their sum is not the gradient."""
    top = max(one.chain.place.layer for one in found)  # lower layers are also given something at each step
    checks: dict[str, Any] = {
        "gain_split_error": max(split_error(one.lags) for one in found if one.chain.place.layer == top)
    }
    if not partial and all(one.truncation is not None for one in found):
        checks["share_sum_error"] = max(share_error(one.chain, one.lags) for one in found)
        checks["lag_sum_error"] = max(sum_error(one.chain, one.lags) for one in found)
    rules = [one.spectrum.sum_rule_error for one in found if one.spectrum and one.spectrum.sum_rule_error is not None]
    if rules:
        checks["sum_rule_error"] = max(rules)
    return checks


def split_error(lags: ChainLags) -> float:
    """How far the steps' gains are from the steps of the log-norms: nothing but rounding in a top layer."""
    before, after, total = lags.log_norm_LA[:-1], lags.log_norm_LA[1:], lags.total_LA[:-1]
    there = np.isfinite(before) & np.isfinite(after) & np.isfinite(total)
    return float(np.abs(after[there] - before[there] - total[there]).max(initial=0.0))
