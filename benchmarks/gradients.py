"""What inspect-gradients costs, with a warm cache: levels, and growth with T, H, B and layers.

python benchmarks/gradients.py              # a table; the best of three runs of each, on an otherwise idle machine
python benchmarks/gradients.py --quick      # the three bounds only
"""

import argparse
import time

import numpy as np

from rnncli.config.rnn import TrainingConfig
from rnncli.inspection.inspect import Inspector, inspect
from rnncli.inspection.probe import Probe
from rnncli.kernels._jit import set_threads
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import Sequences

WORDS, WIDTH, CLASSES = 500, 100, 50
BOUNDS = (
    ("rnn", "quick", 128, 128, 16, 1, 1.0), ("rnn", "standard", 128, 128, 16, 1, 5.0), ("lstm", "standard", 128, 128, 16, 1, 5.0),
    ("lstm", "standard", 256, 256, 16, 1, 20.0),
)  # fmt: skip
GROWTH = (
    [("lstm", "standard", 128, t, 16, 1) for t in (32, 64, 128, 256)]
    + [("lstm", "standard", h, 128, 16, 1) for h in (32, 64, 256)]
    + [("lstm", "standard", 128, 128, b, 1) for b in (4, 8, 32)]
    + [("lstm", "standard", 128, 128, 16, layers) for layers in (2, 3)]
    + [("gru", "standard", 128, 128, 16, 1), ("rnn", "deep", 128, 128, 16, 1), ("lstm", "deep", 128, 128, 16, 1)]
)


def probe(cell: str, hidden: int, length: int, rows: int, layers: int) -> Probe:
    """A tagger at its first values: a loss at each step, the dearest case."""
    network = Network(NetworkSpec(cell, "multiclass", WORDS, WIDTH, hidden, CLASSES, 0.0, layers, False, "each"))
    network.initialise("orthogonal", 1)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, WORDS, rows * length).astype(np.int32)
    targets = rng.integers(0, CLASSES, rows * length).astype(np.int32)
    data = Sequences.of_texts(ids, np.arange(rows + 1) * length)
    return Probe(network, data, targets, "tagger", training=TrainingConfig(), need=length // 2)


def seconds(cell: str, level: str, hidden: int, length: int, rows: int, layers: int, runs: int) -> float:
    """The best of some runs, after one that warms up."""
    how = Inspector(level, threads=set_threads(0))
    inspect(probe(cell, 16, 16, 2, layers), how)
    subject, best = probe(cell, hidden, length, rows, layers), np.inf
    for _ in range(runs):
        started = time.perf_counter()
        inspect(subject, how)
        best = min(best, time.perf_counter() - started)
    return float(best)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only what has a bound")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print("cell  level     H    T    B  layers  seconds")
    for cell, level, hidden, length, rows, layers, bound in BOUNDS:
        took = seconds(cell, level, hidden, length, rows, layers, options.runs)
        print(
            f"{cell:5s} {level:8s} {hidden:3d} {length:4d} {rows:4d} {layers:7d} {took:8.2f}   (bound {bound:g})",
            flush=True,
        )
    for cell, level, hidden, length, rows, layers in [] if options.quick else GROWTH:
        took = seconds(cell, level, hidden, length, rows, layers, options.runs)
        print(f"{cell:5s} {level:8s} {hidden:3d} {length:4d} {rows:4d} {layers:7d} {took:8.2f}", flush=True)


if __name__ == "__main__":
    main()
