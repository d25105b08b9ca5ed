"""The thresholds of the verdict: one versioned file, measured by the project itself (benchmarks/calibration.py)."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import log
from typing import Any


@dataclass(frozen=True)
class Thresholds:
    """Ratios are plain, not logarithms. Sources: docs/gradients.md, "Where the thresholds come from"."""

    reaches: float
    weak: float
    exploding_peak: float
    transient_peak: float
    henrici: float
    one_sided_share: float
    cause_ratio: float  # a loss of this factor over the needed lag has a cause
    balanced_ratio: float  # less than this factor over the needed lag is balance
    pairs: int  # fewer pairs at the needed lag measure nothing
    solved_loss: float  # of the loss of knowing nothing: below it the task is being solved
    coverage: float  # of the pairs at the needed lag that windows of truncated BPTT hold
    bias_bad: float
    bias_good: float
    norm_spread: float  # largest over median gradient norm
    clipped: float  # share of updates
    collapsed: float  # participation ratio
    update_ratio: float  # |update| / |weights| of one step


@dataclass(frozen=True)
class Calibration:
    """The whole file."""

    version: int
    source: str
    thresholds: Thresholds
    measured: list[dict[str, Any]]

    def outlook(self, cell: str, optimizer: str, log_share: float) -> str | None:
        """How the calibration's runs of delayed recall went that began with an input share of this size; None for no such run."""
        rule = "sgd" if optimizer == "sgd" else "adam"
        for entry in self.measured:
            if (entry["task"], entry["cell"], entry["optimizer"]) != ("recall", cell, rule):
                continue
            for part in entry["input_share"]["classes"]:  # the largest shares first
                if part["from"] == 0 or log_share >= log(part["from"]):
                    fast = (
                        f", in a median of {part['median_steps']:.0f} updates"
                        if 2 * part["learned"] > part["runs"]
                        else ""
                    )
                    size = "like share" if part["from"] else "share below {below:g}".format(**part)
                    return (
                        f"in the calibration ({cell}, {rule}, delayed recall) {part['learned']} of {part['runs']} runs with a"
                        f" {size} of the inputs there learned within {entry['budget_steps']} updates{fast}"
                    )
        return None


@cache
def calibration() -> Calibration:
    """The one that this release ships."""
    found = json.loads(files("rnncli.inspection").joinpath("calibration.json").read_text(encoding="utf-8"))
    return Calibration(found["version"], found["source"], Thresholds(**found["thresholds"]), found["measured"])
