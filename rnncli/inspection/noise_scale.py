"""How many sequences a batch needs to see a lag (M10): the noise scale of the W_hh gradient, slot of lags by slot.

    B = tr Cov g / |E g|^2   (McCandlish et al. 2018, by lag), one sequence a sample
Both parts are unbiased: with S the sum over M sequences and Q the sum of their squares, |E g|^2 is (|S|^2 - Q) / M(M-1), a
U-statistic, and tr Cov g is (Q - |S|^2 / M) / (M-1). Intervals come from the jackknife over sequences. Static: a ranking, no
forecast of training.
"""

from dataclasses import dataclass

import numpy as np

from rnncli.inspection.lag_collector import ChainLags
from rnncli.inspection.local import Array

Z_975 = 1.959963984540054


@dataclass(frozen=True)
class NoiseScale:
    """Natural logarithms by slot of lags; -inf where an estimate is not above 0."""

    log_signal_D: Array
    log_noise_D: Array
    log_scale_D: Array
    log_scale_D2: Array  # 95 %; the upper end is inf where the signal cannot be told from 0


def noise_scale(lags: ChainLags) -> NoiseScale:
    """From each row's square and its product with the sum of all; at least three rows."""
    square, dot = lags.square_DR, lags.dot_DR
    rows = square.shape[1]
    sums = lags.sum_QGI["W_hh"]
    whole = (sums.reshape(len(sums), -1) ** 2).sum(axis=1)
    signal, noise = _estimates(whole, square.sum(axis=1), rows)
    left = _estimates((whole[:, None] - 2.0 * dot + square).T, (square.sum(axis=1)[:, None] - square).T, rows - 1)
    spread = Z_975 * _jackknife(left[0])
    with np.errstate(invalid="ignore"):  # -inf less -inf
        scale = _log(noise) - _log(signal)
        # symmetric in the logarithm where the signal is told from 0; else only its upper end bounds the scale
        half = Z_975 * _jackknife(_log(left[1]) - _log(left[0]))
        told = (signal > spread) & np.isfinite(half)
        low = np.where(told, scale - half, _log(noise) - _log(signal + spread))
        high = np.where(told, scale + half, np.inf)
    none = noise <= 0
    bounds = np.stack([np.where(none | np.isnan(low), -np.inf, low), np.where(none, -np.inf, high)], axis=1)
    return NoiseScale(_log(signal), _log(noise), np.where((signal > 0) & (noise > 0), scale, -np.inf), bounds)


def _estimates(whole: Array, squares: Array, rows: int) -> tuple[Array, Array]:
    """|E g|^2 and tr Cov g."""
    return (whole - squares) / (rows * (rows - 1.0)), (squares - whole / rows) / (rows - 1.0)


def _jackknife(left_RD: Array) -> Array:
    """Standard error from estimates that each leave one row out."""
    rows = len(left_RD)
    return np.asarray(np.sqrt((rows - 1.0) / rows * ((left_RD - left_RD.mean(axis=0)) ** 2).sum(axis=0)))


def _log(values: Array) -> Array:
    """-inf where there is no logarithm."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(values > 0, np.log(np.where(values > 0, values, 1.0)), -np.inf))
