"""Recurrent networks beside PyTorch (eager) and JAX (jit): training step, inference, and one epoch of real lengths.

    python benchmarks/rnn.py [--cells rnn lstm gru] [--sizes tiny small large] [--rounds 3] [--epoch-data FILE.tsv]
        [--language] [--json FILE]

A step is embedding look-up, recurrence over a batch of one length, binary head on the last state, cross-entropy, BPTT and
Adam, in float32 with two threads (--threads). The vocabulary (--vocabulary) matters: Adam on a dense embedding gradient, as
PyTorch and JAX have it by default, updates every row at every step, this project those of the batch. Every program runs in
a process of its own; they take turns, and ratios are taken within a round. The peers are left out where they are not
installed. --epoch-data is a labelled TSV (label, text): one epoch of its own lengths, for PyTorch with packed sequences and
batches sorted by length, for JAX padded to buckets; then all its rows are labelled. --language: a training step of a model
of words (V = 33,278, tied) and of characters, beside PyTorch. GFLOP/s counts the products of the recurrence, forward and
backward, and is shown beside the peak that fused multiply-adds reach on this machine.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import language_programs
import rnn_programs as programs

SIZES = {"tiny": (32, 64, 64, 25), "small": (32, 100, 128, 50), "large": (64, 300, 512, 100)}  # B, D, H, L
GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def flops(cell: str, b: int, d: int, h: int, length: int) -> float:
    """Of the products of one training step: two for each weight and token forward, four backward."""
    return 6.0 * GATES[cell] * h * (d + h) * b * length


def run_child(arguments: argparse.Namespace, *more: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--threads", str(arguments.threads), *more]
    environment = os.environ | {"RNN_VOCABULARY": str(arguments.vocabulary)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def median_ratio(runs: dict[str, list[dict[str, Any]]], peer: str, what: str) -> str:
    if not runs.get(peer):
        return "-"
    pairs = zip(runs["rnncli"], runs[peer], strict=True)
    return f"{statistics.median(b[what] / a[what] for a, b in pairs):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", default=["rnn", "lstm", "gru"], choices=list(GATES))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=20_000)
    parser.add_argument("--epoch-data", type=Path)
    parser.add_argument("--language", action="store_true", help="training steps of language models, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, cell, *rest = arguments.child
        if name == "peak":
            row = {"gflops": programs.peak_gflops(arguments.threads)}
        elif rest[0] == "language":
            row = language_programs.STEPS[name](cell, arguments.threads)
        elif rest[0] == "epoch":
            row = programs.EPOCHS[name](cell, Path(rest[1]), arguments.threads)
        else:
            row = programs.STEPS[name](cell, *SIZES[rest[0]], arguments.threads)
        print(json.dumps(row))
        return
    names = [name for name in programs.STEPS if name == "rnncli" or importlib.util.find_spec(name)]
    peak = run_child(arguments, "--child", "peak", "-")["gflops"]
    print(f"peak of fused multiply-adds: {peak:.0f} GFLOP/s with {arguments.threads} threads\n")
    print(
        "| cell | size B D H L | step, ms | GFLOP/s | x torch | x jax | inference, ms | x torch | x jax |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    results = []
    for size in arguments.sizes:
        for cell in arguments.cells:
            runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
            for _ in range(arguments.rounds):
                for name in names:
                    runs[name].append(run_child(arguments, "--child", name, cell, size))
            own = {what: statistics.median(run[what] for run in runs["rnncli"]) for what in ("train", "infer")}
            cells = [cell, " ".join(map(str, SIZES[size])), f"{own['train'] * 1e3:.2f}"]
            cells.append(f"{flops(cell, *SIZES[size]) / own['train'] / 1e9:.0f}")
            cells += [median_ratio(runs, peer, "train") for peer in ("torch", "jax")]
            cells.append(f"{own['infer'] * 1e3:.2f}")
            cells += [median_ratio(runs, peer, "infer") for peer in ("torch", "jax")]
            print("| " + " | ".join(cells) + " |", flush=True)
            results.append({"cell": cell, "size": size, "runs": runs})
    if arguments.epoch_data:
        print(
            "\n| cell | one epoch, s | x torch | x jax | labelling all rows, s | x torch |\n|---|---|---|---|---|---|"
        )
        for cell in arguments.cells:
            runs = {name: [] for name in names}
            for _ in range(arguments.rounds):
                for name in names:
                    runs[name].append(run_child(arguments, "--child", name, cell, "epoch", str(arguments.epoch_data)))
            seconds = statistics.median(run["train"] for run in runs["rnncli"])
            ratios = [median_ratio(runs, peer, "train") for peer in ("torch", "jax")]
            labelling = statistics.median(run["infer"] for run in runs["rnncli"])
            ratios += [f"{labelling:.2f}", median_ratio(runs, "torch", "infer")]
            print(f"| {cell} | {seconds:.2f} | " + " | ".join(ratios) + " |", flush=True)
            results.append({"cell": cell, "size": "epoch", "runs": runs})
    if arguments.language:
        print("\n| language model | tokens/s | x torch |\n|---|---|---|")
        for shape, sizes in language_programs.SHAPES.items():
            peers = [name for name in names if name in language_programs.STEPS]
            runs = {name: [] for name in peers}
            for _ in range(arguments.rounds):
                for name in peers:
                    runs[name].append(run_child(arguments, "--child", name, shape, "language"))
            seconds = statistics.median(run["train"] for run in runs["rnncli"])
            speed = sizes["b"] * sizes["t"] / seconds
            print(f"| {shape} | {speed:,.0f} | {median_ratio(runs, 'torch', 'train')} |", flush=True)
            results.append({"cell": shape, "size": "language", "runs": runs})
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
