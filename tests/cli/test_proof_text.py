"""The race and the planted dependency on a terminal."""

import re

from rnncli.cli.inspection_text import print_proof


def proof(order_held):
    lags = [
        {"lag": 25, "learned": 5, "seeds": 5, "median_updates": 84.0},
        {"lag": 50, "learned": 3, "seeds": 5, "median_updates": 120.5},
        {"lag": 100, "learned": 1, "seeds": 5, "median_updates": None},
    ]
    arm = {
        "name": "lstm-chrono",
        "loss_mean": 0.1,
        "loss_best": 0.1,
        "loss_worst": 0.1,
        "ratio_at_need_log10": None,
        "seconds": 1.0,
    }
    planted = {
        "classes": 4, "budget_updates": 300, "accuracy": 0.9, "lags": [25, 50, 100], "order_held": order_held,
        "arms": [{"name": "lstm-chrono", "lags": lags, "learned_reach_steps": 50}],
    }  # fmt: skip
    return {"prediction": {"text": "more"}, "seeds": 5, "arms": [arm], "results": [], "planted": planted}


def test_a_cell_is_seeds_and_median(capsys):
    print_proof(proof(True))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    head = next(i for i, line in enumerate(lines) if line.startswith("arm") and "lag 25" in line)
    assert re.split(r"  +", lines[head + 1]) == ["lstm-chrono", "5/5 (84)", "3/5 (120.5)", "1/5", "50"]
    assert lines[-1] == "predicted order of reach: held"


def test_a_wrong_prediction_is_said_and_no_prediction_is_not(capsys):
    print_proof(proof(False))
    assert "did not hold" in capsys.readouterr().out
    print_proof(proof(None))
    assert "predicted order" not in capsys.readouterr().out
