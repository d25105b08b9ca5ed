"""Does the gradient at first values say how long learning takes? The runs behind rnncli/inspection/calibration.json.

    python benchmarks/calibration.py                 # all runs (about an hour on two cores), rewrites both files
    python benchmarks/calibration.py --tables        # only the tables, from benchmarks/calibration.csv

Every cell learns delayed recall, the adding problem and copy memory over several gaps and first values, with SGD and with Adam,
ten seeds each (recall twenty). Before a run two numbers are measured: the ratio R = |dL/ds| at the needed lag over that at the
read-out, and the input share S = |dL/dx|^2 at the needed lag over its sum over all lags. Then updates are counted until the task
is learned, or the budget is spent (such a run counts as one update more than the budget). S was chosen among several
candidates after recall's seeds 1-10 were run, because R does not rank starts with clocks (`chrono`): it is therefore also
given for seeds 11-20 alone, which were run afterwards.
"""

import argparse
import csv
import itertools
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
SEEDS = {"recall": 20, "adding": 10, "copy": 10}
CHOSEN_ON = 10  # seeds of recall that the input share was chosen on; those after are held out
LEARNED = {"recall": 0.25, "adding": 0.25, "copy": 0.8}  # the running mean of the loss, of the loss of guessing
CLASSES = {
    "ratio": (1e-1, 1e-2, 1e-3, 1e-5, 2.0**-24, 0.0),
    "input_share": (1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-11, 1e-14, 0.0),
}


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
    input_share_log10: float | None = None
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
    from rnncli.pipelines.planted import Goal, updates_to_learn
    from rnncli.rnn.network import Gradients, Network, NetworkSpec
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
    verdict = inspect(probe, Inspector("quick")).verdict
    measured = {
        "ratio_log10": verdict["ratio_at_need_log10"], "input_share_log10": verdict["input_share_at_need_log10"],
    }  # fmt: skip
    rule = TrainingConfig(optimizer=run.optimizer, lr=RATES[run.optimizer], clip_norm=CLIP)
    rows = np.arange(BATCH)

    def read(update: int) -> tuple[Gradients, float]:
        data, targets, *_ = drawn(run, update * BATCH)
        batch = pack(data, rows)
        gradients = network.gradients(batch, targets[batch.position_N if spec.each else batch.rows_B])
        return gradients, -float(gradients.loss_M.mean())

    steps = updates_to_learn(
        network, Optimiser(rule, network, True), read, BUDGET[run.task], Goal(-guess, -LEARNED[run.task] * guess)
    )
    return Run(**{**asdict(run), **measured, "steps": steps})


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
    steps = np.array([budget + 1 if r.steps is None else r.steps for r in runs])
    plain = np.array([r.start != "chrono" for r in runs])
    held_out = np.array([r.task == "recall" and r.seed > CHOSEN_ON for r in runs])
    everything = np.ones(len(runs), bool)
    table: dict[str, Any] = {
        "runs": len(runs),
        "learned": int((steps <= budget).sum()),
        "budget_steps": budget,
        "spearman_of_the_gap": _rounded(spearman(steps, np.array([r.gap for r in runs]))),
    }
    for name, bounds in CLASSES.items():
        values = np.array([getattr(r, f"{name}_log10") for r in runs], np.float64)  # None becomes NaN: an exact zero
        values = np.where(np.isnan(values), -1e9, values)
        parts = {"all": everything, "without_clocks": plain, "held_out": held_out}
        table[name] = {
            **{f"spearman_{part}": _ranked(values, steps, chosen) for part, chosen in parts.items()},
            "spearman_of_settings": _of_settings(runs, values, steps, everything),
            "spearman_of_settings_without_clocks": _of_settings(runs, values, steps, plain),
            "classes": _classes(values, steps, bounds, budget),
        }
    return table


def _ranked(values: np.ndarray, steps: np.ndarray, chosen: np.ndarray) -> float | None:
    return _rounded(spearman(steps[chosen], -values[chosen])) if chosen.any() else None


def _of_settings(runs: list[Run], values: np.ndarray, steps: np.ndarray, chosen: np.ndarray) -> float | None:
    """Of medians over seeds."""
    settings: dict[tuple[str, int], list[int]] = {}
    for i in np.flatnonzero(chosen):
        settings.setdefault((runs[i].start, runs[i].gap), []).append(int(i))
    medians = np.array([[np.median(values[i]), np.median(steps[i])] for i in settings.values()])
    return _rounded(spearman(medians[:, 1], -medians[:, 0]))


def _classes(values: np.ndarray, steps: np.ndarray, bounds: tuple[float, ...], budget: int) -> list[dict[str, Any]]:
    """Runs learned and their median updates by size of what was measured, the largest first."""
    found, above = [], math.inf
    for low in bounds:
        bound = math.log10(low) if low > 0 else -math.inf
        chosen = (values >= bound) & (values < above)
        if chosen.any():
            found.append({
                "from": low, "below": None if above == math.inf else float(f"{10.0**above:.4g}"), "runs": int(chosen.sum()),
                "learned": int((steps[chosen] <= budget).sum()), "median_steps": float(np.median(steps[chosen])),
            })  # fmt: skip
        above = bound
    return found


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def write_runs(runs: list[Run]) -> None:
    """calibration.csv."""
    with RUNS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(runs[0])), lineterminator="\n")
        writer.writeheader()
        for run in runs:
            row = asdict(run)
            for name in ("ratio_log10", "input_share_log10"):
                row[name] = None if row[name] is None else round(row[name], 3)
            writer.writerow(row)


def read_runs() -> list[Run]:
    """What write_runs wrote."""
    with RUNS.open(newline="", encoding="utf-8") as file:
        return [
            Run(
                r["task"], r["cell"], r["start"], r["optimizer"], int(r["gap"]), int(r["seed"]),
                *(float(r[name]) if r[name] else None for name in ("ratio_log10", "input_share_log10")),
                int(r["steps"]) if r["steps"] else None,
            )
            for r in csv.DictReader(file)
        ]  # fmt: skip


def _key(run: Run) -> tuple[Any, ...]:
    """Order in the file; no two runs share it."""
    return list(GAPS).index(run.task), CELLS.index(run.cell), run.optimizer, run.gap, run.start, run.seed


def ship(runs: list[Run]) -> None:
    """Put the tables into the file that the package ships; thresholds stay as they are."""
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
    shipped["measured"] = tables(runs)
    SHIPPED.write_text(json.dumps(shipped, indent=2) + "\n", encoding="utf-8")


def markdown(found: list[dict[str, Any]]) -> Iterator[str]:
    """The tables of docs/benchmarks.md."""
    for task in dict.fromkeys(entry["task"] for entry in found):
        own = [entry for entry in found if entry["task"] == task]
        held = ["share, held out"] if task == "recall" else []
        head = [
            task,
            "optimiser",
            "learned",
            "ratio",
            "ratio, plain",
            "share",
            *held,
            "share, medians",
            "the gap alone",
        ]
        yield from ("", f"| {' | '.join(head)} |", "|---" * len(head) + "|")
        for entry in own:
            ratio, share = entry["ratio"], entry["input_share"]
            values = [
                ratio["spearman_all"], ratio["spearman_without_clocks"], share["spearman_all"],
                *([share["spearman_held_out"]] if held else []), share["spearman_of_settings"], entry["spearman_of_the_gap"],
            ]  # fmt: skip
            row = [entry["cell"], entry["optimizer"], f"{entry['learned']} of {entry['runs']}", *map(_short, values)]
            yield f"| {' | '.join(row)} |"
    for name, bounds in CLASSES.items():
        head = [f"{name.replace('_', ' ')}, recall, Adam", f">= {bounds[0]:g}"]
        head += [f"{low:.2g} - {high:.2g}" for high, low in itertools.pairwise(bounds[:-1])] + ["below"]
        yield from ("", f"| {' | '.join(head)} |", "|---" * len(head) + "|")
        for entry in found:
            if (entry["task"], entry["optimizer"]) == ("recall", "adam"):
                cells = {part["from"]: part for part in entry[name]["classes"]}
                yield f"| {entry['cell']} | " + " | ".join(_class(cells.get(low)) for low in bounds) + " |"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".replace("0.", ".", 1)


def _class(part: dict[str, Any] | None) -> str:
    """Learned / runs, and the median updates where most learned."""
    if part is None:
        return "-"
    median = f", {part['median_steps']:.0f}" if 2 * part["learned"] > part["runs"] else ""
    return f"{part['learned']} / {part['runs']}{median}"


def main() -> None:
    """Run, or read what was run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="no runs, only the tables")
    parser.add_argument("--task", choices=list(GAPS), help="only this task; other rows of the file are kept")
    parser.add_argument("--first-seed", type=int, default=1, help="only from this seed on; other rows are kept")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.tables:
        runs = read_runs()
    else:
        os.environ["RNNCLI_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
        wanted = [r for r in planned() if options.task in (None, r.task) and r.seed >= options.first_seed]
        again = {_key(run) for run in wanted}
        kept = [run for run in read_runs() if _key(run) not in again] if RUNS.exists() else []
        with get_context("spawn").Pool(options.processes) as pool:
            done = list(pool.imap(execute, wanted, chunksize=4))
        runs = sorted(kept + done, key=_key)
        write_runs(runs)
    ship(runs)
    for line in markdown(tables(runs)):
        print(line)


if __name__ == "__main__":
    main()
