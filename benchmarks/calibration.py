"""Does the gradient at first values say how long learning takes? The runs behind rnncli/inspection/calibration.json.

    python benchmarks/calibration.py                 # all runs (about an hour on two cores), rewrites both files
    python benchmarks/calibration.py --tables        # only the tables, from benchmarks/calibration.csv

Every cell learns delayed recall, the adding problem and copy memory over several gaps and first values, with SGD and with Adam,
ten seeds each. Before a run the ratio R = |dL/ds| at the needed lag over that at the read-out is measured; then updates are
counted until the task is learned, or the budget is spent (such a run counts as one update more than the budget). Clocks
(`chrono`) are also left out of the rank correlations: they trade gradient for gates that move slowly, two causes in one.
"""

import argparse
import csv
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RUNS = HERE / "calibration.csv"
SHIPPED = HERE.parent / "rnncli" / "inspection" / "calibration.json"
CELLS = ("rnn", "relu", "lstm", "gru", "gru_before")
HIDDEN, EMBEDDING, BATCH, CLIP = 48, 16, 32, 1.0
RATES = {"adam": 2e-3, "sgd": 0.5}
GAPS = {"recall": (4, 8, 16, 24, 32, 48), "adding": (10, 20, 40), "copy": (2, 5, 10)}
BUDGET = {"recall": 1000, "adding": 2000, "copy": 2000}
SEEDS = {"recall": 10, "adding": 10, "copy": 10}
SMOOTH = 0.9  # of the running mean of the loss
LEARNED = {"recall": 0.25, "adding": 0.25, "copy": 0.8}  # of the loss of guessing
CLASSES = (1e-1, 1e-2, 1e-3, 1e-5, 2.0**-24, 0.0)


@dataclass(frozen=True)
class Run:
    """One row of calibration.csv; steps is None where the budget was not enough."""

    task: str
    cell: str
    start: str
    optimizer: str
    gap: int
    seed: int
    ratio_log10: float | None = None
    steps: int | None = None


def starts(cell: str, gap: int) -> dict[str, Any]:
    """First values that differ in how far a gradient reaches."""
    from rnncli.rnn.init import Start

    if cell == "rnn":
        return {"uniform": Start("uniform"), "xavier": Start("xavier"), "orthogonal": Start("orthogonal")}
    if cell == "relu":
        return {"uniform": Start("uniform"), "orthogonal": Start("orthogonal"), "identity": Start("identity")}
    if cell == "lstm":
        return {
            "bias 0": Start("uniform", 0.0),
            "bias 1": Start("uniform"),
            "chrono": Start("uniform", chrono=max(3, gap)),
        }
    return {
        "plain": Start("uniform"),
        "orthogonal": Start("orthogonal"),
        "chrono": Start("uniform", chrono=max(3, gap)),
    }


def planned() -> Iterator[Run]:
    """All runs."""
    for task, gaps in GAPS.items():
        for cell in CELLS:
            for gap in gaps:
                for start in starts(cell, gap):
                    for optimizer in RATES:
                        for seed in range(1, SEEDS[task] + 1):
                            yield Run(task, cell, start, optimizer, gap, seed)


def drawn(run: Run, first: int) -> tuple[Any, np.ndarray, int, float, dict[str, Any]]:
    """BATCH rows of a task from row `first` on: what is read, targets, needed lag, loss of guessing, network sizes."""
    from rnncli.data import probes
    from rnncli.rnn.packing import Sequences

    if run.task == "adding":
        rows = probes.adding(run.seed, BATCH, run.gap, first=first)
        data = Sequences(rows.starts, rows.lengths, values=rows.values)
        return data, rows.targets, run.gap // 2, 1.0 / 6.0, {"head": "regression", "classes": 1, "inputs": 2}
    if run.task == "copy":
        found, names = probes.copy_memory(run.seed, BATCH, run.gap, first=first)
        guess, need = probes.copy_memory_loss(run.gap), run.gap + 10
        sizes = {"head": "multiclass", "classes": 9, "vocabulary": len(names), "pooling": "each"}
    else:
        found, names = probes.recall(run.seed, BATCH, run.gap, first=first)
        guess, need = math.log(4.0), run.gap
        sizes = {"head": "multiclass", "classes": 4, "vocabulary": len(names)}
    return Sequences.of_texts(found.ids, found.offsets), found.labels, need, guess, sizes


def execute(run: Run) -> Run:
    """Measure, then learn."""
    from rnncli.config.rnn import TrainingConfig
    from rnncli.inspection.inspect import Inspector, inspect
    from rnncli.inspection.probe import Probe
    from rnncli.rnn.network import Network, NetworkSpec
    from rnncli.rnn.optimiser import Optimiser
    from rnncli.rnn.packing import pack

    data, targets, need, guess, sizes = drawn(run, 0)
    spec = NetworkSpec(
        run.cell, sizes["head"], sizes.get("vocabulary", 0), EMBEDDING, HIDDEN, sizes["classes"],
        pooling=sizes.get("pooling", "last"), inputs=sizes.get("inputs", 0),
    )  # fmt: skip
    network = Network(spec)
    network.initialise(starts(run.cell, run.gap)[run.start], run.seed)
    probe = Probe(network, data, targets, "probe", trained=False, need=need)
    ratio = inspect(probe, Inspector("quick")).verdict["ratio_at_need_log10"]
    rule = TrainingConfig(optimizer=run.optimizer, lr=RATES[run.optimizer], clip_norm=CLIP)
    optimiser = Optimiser(rule, network, True)
    mean, rows = guess, np.arange(BATCH)
    for step in range(1, BUDGET[run.task] + 1):
        data, targets, *_ = drawn(run, step * BATCH)
        batch = pack(data, rows)
        y = targets[batch.position_N if spec.each else batch.rows_B]
        gradients = network.gradients(batch, y)
        norm = optimiser.step(network, gradients)
        mean = SMOOTH * mean + (1 - SMOOTH) * float(gradients.loss_M.mean())
        if not math.isfinite(norm):
            break
        if mean < LEARNED[run.task] * guess:
            return Run(**{**asdict(run), "ratio_log10": ratio, "steps": step})
    return Run(**{**asdict(run), "ratio_log10": ratio, "steps": None})


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties share their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2.0)[inverse]


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where all values of one side are equal."""
    if x.min() == x.max() or y.min() == y.max():
        return math.nan
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def tables(runs: list[Run]) -> list[dict[str, Any]]:
    """One entry for each task, cell and optimiser."""
    found = []
    for task in GAPS:
        for cell in CELLS:
            for optimizer in RATES:
                own = [r for r in runs if (r.task, r.cell, r.optimizer) == (task, cell, optimizer)]
                if own:
                    found.append({"task": task, "cell": cell, "optimizer": optimizer, **_table(own, BUDGET[task])})
    return found


def _table(runs: list[Run], budget: int) -> dict[str, Any]:
    ratio = np.array([-1e9 if r.ratio_log10 is None else r.ratio_log10 for r in runs])
    steps = np.array([budget + 1 if r.steps is None else r.steps for r in runs])
    learned = steps <= budget
    settings = sorted({(r.start, r.gap) for r in runs})
    at = [[i for i, r in enumerate(runs) if (r.start, r.gap) == setting] for setting in settings]
    medians = np.array([[np.median(ratio[i]), np.median(steps[i])] for i in at])
    gaps = np.array([r.gap for r in runs])
    plain = np.array([r.start != "chrono" for r in runs])
    plain_settings = np.array([start != "chrono" for start, _ in settings])
    classes = []
    above = math.inf
    for low in CLASSES:
        bound = math.log10(low) if low > 0 else -math.inf
        chosen = (ratio >= bound) & (ratio < above)
        if chosen.any():
            classes.append({
                "ratio_from": low, "ratio_below": None if above == math.inf else 10.0**above, "runs": int(chosen.sum()),
                "learned": int(learned[chosen].sum()), "median_steps": float(np.median(steps[chosen])),
            })  # fmt: skip
        above = bound
    return {
        "runs": len(runs),
        "learned": int(learned.sum()),
        "budget_steps": budget,
        "spearman": _rounded(spearman(steps, -ratio)),
        "spearman_of_settings": _rounded(spearman(medians[:, 1], -medians[:, 0])),
        "spearman_without_clocks": _rounded(spearman(steps[plain], -ratio[plain])),
        "spearman_of_settings_without_clocks": _rounded(
            spearman(medians[plain_settings, 1], -medians[plain_settings, 0])
        ),
        "spearman_of_the_gap": _rounded(spearman(steps, gaps)),
        "classes": classes,
    }


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def write_runs(runs: list[Run]) -> None:
    """calibration.csv."""
    with RUNS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(runs[0])), lineterminator="\n")
        writer.writeheader()
        for run in runs:
            row = asdict(run)
            row["ratio_log10"] = None if run.ratio_log10 is None else round(run.ratio_log10, 3)
            writer.writerow(row)


def read_runs() -> list[Run]:
    """What write_runs wrote."""
    with RUNS.open(newline="", encoding="utf-8") as file:
        return [
            Run(
                r["task"], r["cell"], r["start"], r["optimizer"], int(r["gap"]), int(r["seed"]),
                float(r["ratio_log10"]) if r["ratio_log10"] else None, int(r["steps"]) if r["steps"] else None,
            )
            for r in csv.DictReader(file)
        ]  # fmt: skip


def ship(runs: list[Run]) -> None:
    """Put the tables into the file that the package ships; thresholds stay as they are."""
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
    shipped["measured"] = tables(runs)
    SHIPPED.write_text(json.dumps(shipped, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Run, or read what was run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="no runs, only the tables")
    parser.add_argument("--task", choices=list(GAPS), help="only this task; other rows of the file are kept")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.tables:
        runs = read_runs()
    else:
        os.environ["RNNCLI_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
        wanted = [run for run in planned() if options.task in (None, run.task)]
        kept = (
            [run for run in read_runs() if options.task is not None and run.task != options.task]
            if RUNS.exists()
            else []
        )
        with get_context("spawn").Pool(options.processes) as pool:
            done = list(pool.imap(execute, wanted, chunksize=4))
        runs = sorted(
            kept + done, key=lambda r: (list(GAPS).index(r.task), CELLS.index(r.cell), r.optimizer, r.gap, r.start)
        )
        write_runs(runs)
    ship(runs)
    for entry in tables(runs):
        classes = "  ".join(
            f">={c['ratio_from']:.0e}: {c['learned']}/{c['runs']} ({c['median_steps']:.0f})" for c in entry["classes"]
        )
        print(
            f"{entry['task']:7s} {entry['cell']:10s} {entry['optimizer']:4s} learned {entry['learned']}/{entry['runs']}"
            f"  Spearman {entry['spearman']} (settings {entry['spearman_of_settings']}, gap alone {entry['spearman_of_the_gap']};"
            f" without clocks {entry['spearman_without_clocks']}, settings {entry['spearman_of_settings_without_clocks']})"
            f"  {classes}"
        )


if __name__ == "__main__":
    main()
