"""How long a user waits: for --help, for the first training step with a cold and with a warm kernel cache.

    python benchmarks/startup.py [--runs 5] [--json FILE]

Each figure is a whole process, from start to exit, so it bounds the time to the first step from above: the training
run has one batch of 32 sequences and one epoch, and reading, evaluating and writing are included.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rnncli = [sys.executable, "-m", "rnncli"]
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = ["label\ttext"] + [f"{'ab'[i % 2]}\tsome words number {i}" for i in range(36)]
        (folder / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "one.yaml").write_text(f"data: {{train: {folder}/train.tsv}}\ntraining: {{epochs: 1}}\n")
        train = [
            *rnncli,
            "train-classifier",
            "-c",
            str(folder / "one.yaml"),
            "-o",
            str(folder / "run"),
            "--force",
            "-q",
        ]
        rows["rnncli --help"] = [seconds([*rnncli, "--help"], {}) for _ in range(arguments.runs)]
        cold = []
        for i in range(min(2, arguments.runs)):
            cold.append(seconds(train, {"XDG_CACHE_HOME": str(folder / f"cache{i}")}))
        rows["first step, cold cache"] = cold
        warm = {"XDG_CACHE_HOME": str(folder / "cache0")}
        rows["first step, warm cache"] = [seconds(train, warm) for _ in range(arguments.runs)]
    print("| what | median s | min s | max s | runs |\n|---|---|---|---|---|")
    for what, values in rows.items():
        median = statistics.median(values)
        print(f"| {what} | {median:.2f} | {min(values):.2f} | {max(values):.2f} | {len(values)} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
