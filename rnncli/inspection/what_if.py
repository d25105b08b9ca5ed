"""Other first values and other cells on the same probe, without training: seconds, not hours."""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from rnncli.inspection.inspect import Inspector, inspect
from rnncli.inspection.lyapunov import spectrum
from rnncli.inspection.norms import Clip, measure_norms
from rnncli.inspection.probe import Probe
from rnncli.inspection.rollout import roll_out
from rnncli.rnn.init import Start
from rnncli.rnn.network import Network
from rnncli.rnn.packing import pack

BATCHES, BATCH_ROWS = 20, 16


@dataclass(frozen=True)
class Variant:
    """A cell and how it begins; `change` are the keys of a recipe that make it so."""

    name: str
    cell: str
    start: Start
    change: dict[str, Any]


def variants(need: int, init: str) -> list[Variant]:
    """What is worth comparing for a needed lag; gated cells begin their W_hh as the recipe does, `init`."""
    gap = max(3, need)
    found = [
        Variant(f"rnn, {how}", "rnn", Start(how), {"model.cell": "rnn", "model.init": how, "model.chrono": None})
        for how in ("uniform", "xavier", "orthogonal")
    ]
    found.append(
        Variant(
            "IRNN (relu, identity)",
            "relu",
            Start("identity"),
            {"model.cell": "relu", "model.init": "identity", "model.chrono": None},
        )
    )
    for bias in (0.0, 1.0):
        change = {"model.cell": "lstm", "model.forget_bias": bias, "model.chrono": None}
        found.append(Variant(f"lstm, forget bias {bias:g}", "lstm", Start(init, forget_bias=bias), change))
    for cell in ("lstm", "gru"):
        if cell == "gru":
            found.append(Variant("gru", "gru", Start(init), {"model.cell": "gru", "model.chrono": None}))
        change = {"model.cell": cell, "model.chrono": gap}
        found.append(Variant(f"{cell}, chrono {gap}", cell, Start(init, chrono=gap), change))
    return found


def what_if(probe: Probe, need: int, seed: int) -> list[dict[str, Any]]:
    """One row for the network as it is, and one for each variant with fresh recurrent weights and the same tables."""
    rows = [{"name": "as it is", "change": {}, **_measure(probe, need)}]
    for variant in variants(need, probe.init or "orthogonal"):
        network = Network(replace(probe.network.spec, cell=variant.cell), probe.network.dtype)
        network.initialise(variant.start, seed)
        network.tables = probe.network.tables
        fresh = replace(probe, network=network, trained=False)
        rows.append({"name": variant.name, "change": variant.change, **_measure(fresh, need)})
    return rows


def _measure(probe: Probe, need: int) -> dict[str, Any]:
    report = inspect(replace(probe, need=need, training=None), Inspector("quick"))
    rollout = roll_out(probe.network, probe.data, probe.targets)
    first = float(max(spectrum(chain, rollout.offsets, 1, 1).values_K[0] for chain in rollout.chains))
    rows = np.flatnonzero(probe.data.lengths > 0)
    batches = []
    for chosen in np.array_split(rows, min(BATCHES, max(1, rows.size // BATCH_ROWS))):
        batch = pack(probe.data, chosen)
        batches.append((batch, probe.targets[batch.position_N if probe.network.spec.each else batch.rows_B], None))
    norms = measure_norms(probe.network, batches, Clip()).to_json()["global"]
    spread = norms["p99"] / norms["p50"] if norms["p50"] else None
    return {
        "ratio_at_need_log10": report.verdict["ratio_at_need_log10"],
        "input_share_at_need_log10": report.verdict["input_share_at_need_log10"],
        "half_life_steps": report.verdict["half_life_steps"]["value"],
        "lambda_1": first if isfinite(first) else None,
        "norm_p99_over_p50": spread if spread is not None and isfinite(spread) else None,
    }
