"""series.csv: two channels of which one follows the other with a lag."""

import numpy as np

from rnncli import rng

ROWS = 1500
BURN_IN = 50  # steps of the driver that are thrown away, so that it starts in its stationary state
DAY, WEEK = 24.0, 168.0  # periods, in steps
TREND, DAY_HEIGHT, WEEK_HEIGHT = 0.002, 1.0, 0.6
LAG, GAIN = 6, 0.8
DRIVER_MEMORY, NOISE = 0.7, 0.1


def series_text(seed: int, part: int) -> str:
    """CSV with the columns time, value, driver.

    driver_t = 0.7 driver_{t-1} + e_t
    value_t  = 0.002 t + sin(2 pi t / 24) + 0.6 sin(2 pi t / 168 + 1) + 0.8 driver_{t-6} + 0.1 n_t

    with e_t, n_t standard normal and independent, t = 0 .. 1499.
    """
    total = BURN_IN + LAG + ROWS
    draws = rng.normals(rng.key(seed, rng.Stream.SAMPLE_DATA, part=part), total + ROWS)
    driver = np.zeros(total)
    for t in range(1, total):
        driver[t] = DRIVER_MEMORY * driver[t - 1] + draws[t]
    driver = driver[BURN_IN:]
    t_ = np.arange(ROWS)
    cycles = DAY_HEIGHT * np.sin(2 * np.pi * t_ / DAY) + WEEK_HEIGHT * np.sin(2 * np.pi * t_ / WEEK + 1.0)
    value = TREND * t_ + cycles + GAIN * driver[:ROWS] + NOISE * draws[total:]
    rows = zip(t_.tolist(), value.tolist(), driver[LAG:].tolist(), strict=True)
    return "time,value,driver\n" + "".join(f"{t},{v:.4f},{d:.4f}\n" for t, v, d in rows)
