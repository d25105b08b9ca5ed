"""Learning-rate schedules: the factor on training.lr at a step, a pure function of how far training is."""

import math

from rnncli.config.rnn import TrainingConfig

SMALLEST = 1e-3  # of the rate, at the end of linear and cosine


def factor(config: TrainingConfig, step: int, steps: int, plateaus: int) -> float:
    """Factor at update `step` (from 0) of `steps`; `plateaus` counts how often validation stood still.

    warm-up   rises linearly over the share `warmup` of the updates (Goyal et al. 2017), before any of the others
    linear    falls to 1/1000;   cosine   half a cosine down to 1/1000 (Loshchilov & Hutter 2017)
    plateau   times plateau_factor whenever plateau_patience epochs brought nothing better
    """
    rising = math.ceil(config.warmup * steps)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    if config.schedule == "linear":
        return max(1.0 - done, SMALLEST)
    if config.schedule == "cosine":
        return SMALLEST + (1.0 - SMALLEST) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    if config.schedule == "plateau":
        return config.plateau_factor**plateaus
    return 1.0


def plateaus(better: list[bool], patience: int) -> int:
    """How often `patience` epochs in a row brought nothing better; a fall starts the count afresh."""
    falls, waited = 0, 0
    for improved in better:
        waited = 0 if improved else waited + 1
        if waited == patience:
            falls, waited = falls + 1, 0
    return falls
