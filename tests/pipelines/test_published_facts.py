"""Le, Jaitly & Hinton 2015 by the command itself: tanh fails the adding problem at 200 steps, IRNN and LSTM solve it."""

from pathlib import Path

import pytest

from rnncli.config.inspection import InspectConfig
from rnncli.pipelines import inspect_gradients
from rnncli.pipelines.inspect_gradients import Extras

RECIPE = Path(__file__).parents[2] / "configs" / "adding200.yaml"


def test_before_training_the_verdict_says_why():
    extras = Extras(what_if=True)
    result = inspect_gradients.run(RECIPE, None, InspectConfig(sequences=32), extras=extras).result
    assert result.verdict["label"] == "vanishing"
    assert result.verdict["severity"] == 3
    rows = {row["name"]: row["ratio_at_need_log10"] for row in result.what_if}
    assert rows["as it is"] < -15
    assert rows["IRNN (relu, identity)"] > -1
    assert rows["lstm, chrono 100"] > -2


@pytest.mark.slow
def test_the_race_proves_it():
    extras = Extras(prove=True, arms=("irnn", "lstm-chrono"), seeds=2)
    proof = inspect_gradients.run(RECIPE, None, InspectConfig(sequences=32), extras=extras).result.prove
    tanh, irnn, lstm = proof["arms"]
    assert min(tanh["losses"]) > 0.9 / 6  # no better than a constant guess
    assert max(irnn["losses"]) < 0.01
    assert max(lstm["losses"]) < 0.01
    assert [one["label"] for one in proof["results"]] == ["PROVED", "PROVED"]
    assert proof["prediction"]["better"] == ["irnn", "lstm-chrono"]
