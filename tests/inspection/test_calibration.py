"""The committed calibration: the file that ships is what the committed runs say, and what they say ranks learning time."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from rnncli.inspection.calibration import calibration

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "calibration.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("calibration_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_what_ships_is_what_the_committed_runs_say(benchmark):
    runs = benchmark.read_runs()
    assert benchmark.tables(runs) == calibration().measured
    assert {(r.task, r.cell, r.start, r.optimizer, r.gap, r.seed) for r in runs} == {
        (r.task, r.cell, r.start, r.optimizer, r.gap, r.seed) for r in benchmark.planned()
    }


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_what_is_measured_at_the_needed_lag_ranks_learning_time(cell):
    found = next(
        entry for entry in calibration().measured
        if (entry["task"], entry["cell"], entry["optimizer"]) == ("recall", cell, "adam")
    )  # fmt: skip
    assert found["input_share"]["spearman_all"] >= 0.85
    assert found["input_share"]["spearman_held_out"] >= 0.85
    assert found["input_share"]["spearman_all"] > found["spearman_of_the_gap"]


def test_rank_correlation_is_spearmans(benchmark):
    x = np.array([3.0, 1.0, 4.0, 1.5, 5.0])
    assert benchmark.spearman(x, x**3) == pytest.approx(1.0)
    assert benchmark.spearman(x, -x) == pytest.approx(-1.0)
    # without ties: 1 - 6 sum d^2 / n (n^2 - 1)
    y = np.array([2.0, 1.0, 5.0, 4.0, 3.0])
    d = benchmark.ranks(x) - benchmark.ranks(y)
    assert benchmark.spearman(x, y) == pytest.approx(1 - 6 * (d**2).sum() / (5 * 24))
    assert benchmark.ranks(np.array([7.0, 7.0, 1.0])).tolist() == [2.5, 2.5, 1.0]
    assert np.isnan(benchmark.spearman(np.ones(3), x[:3]))


@pytest.mark.parametrize(("task", "cell"), [("recall", "gru"), ("adding", "relu"), ("copy", "lstm")])
def test_a_run_measures_first_and_then_learns(benchmark, task, cell, monkeypatch):
    monkeypatch.setattr(benchmark, "BUDGET", dict.fromkeys(benchmark.BUDGET, 2))
    planned = next(r for r in benchmark.planned() if (r.task, r.cell) == (task, cell))
    again = [benchmark.execute(planned) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0].steps is None
    recorded = next(r for r in benchmark.read_runs() if benchmark._key(r) == benchmark._key(planned))
    assert again[0].ratio_log10 == pytest.approx(recorded.ratio_log10, abs=1e-3)
    assert again[0].input_share_log10 == pytest.approx(recorded.input_share_log10, abs=1e-3)
