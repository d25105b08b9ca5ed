"""M10: what one sequence's gradient says against what all say, and how sure that is."""

from types import SimpleNamespace

import numpy as np
import pytest
from factory import CELLS, texts

from rnncli.inspection.lag_matrix import WalkSettings, walk
from rnncli.inspection.noise_scale import noise_scale
from rnncli.inspection.rollout import roll_out
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import Sequences

ROWS, LENGTH = 5, 9


def lags_like(g_DRI):
    """Moments of given gradients (D, R, I)."""
    total = g_DRI.sum(axis=1)
    dot = np.einsum("dri,di->dr", g_DRI, total)
    return SimpleNamespace(square_DR=(g_DRI**2).sum(axis=2), dot_DR=dot, sum_QGI={"W_hh": total})


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pooling", ["each", "last"])
def test_moments_of_rows_are_those_of_rows_walked_alone(cell, pooling):
    spec = NetworkSpec(cell, "multiclass", 20, 4, 6, 3, 0.0, 2, False, pooling)
    network = Network(spec, np.float64)
    network.initialise("uniform", 3)
    data, targets = texts(ROWS, LENGTH, 20, classes=3, each=pooling == "each")
    together = walk(roll_out(network, data, targets), WalkSettings(noise=True))
    alone = []
    for row in range(ROWS):
        own = Sequences.of_texts(data.ids[row * LENGTH : (row + 1) * LENGTH], np.array([0, LENGTH]))
        y = targets[row * LENGTH : (row + 1) * LENGTH] if pooling == "each" else targets[row : row + 1]
        alone.append(walk(roll_out(network, own, y), WalkSettings()))
    for c, lags in enumerate(together):
        g_DRI = np.stack([one[c].sum_QGI["W_hh"].reshape(len(lags.square_DR), -1) for one in alone], axis=1)
        expected = lags_like(g_DRI)
        np.testing.assert_allclose(lags.sum_QGI["W_hh"].reshape(len(g_DRI), -1), g_DRI.sum(axis=1), atol=1e-14)
        np.testing.assert_allclose(lags.square_DR, expected.square_DR, rtol=1e-10, atol=1e-25)
        np.testing.assert_allclose(lags.dot_DR, expected.dot_DR, rtol=1e-10, atol=1e-25)


def test_estimates_are_the_textbook_ones():
    g = np.random.default_rng(0).normal(1.0, 2.0, (2, 70, 4))
    found = noise_scale(lags_like(g))
    pairs = np.einsum("dri,dsi->drs", g, g)
    between = (pairs.sum(axis=(1, 2)) - np.trace(pairs, axis1=1, axis2=2)) / (70 * 69)
    np.testing.assert_allclose(np.exp(found.log_signal_D), between, rtol=1e-12)
    np.testing.assert_allclose(np.exp(found.log_noise_D), g.var(axis=1, ddof=1).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.log_scale_D, found.log_noise_D - found.log_signal_D, rtol=1e-12)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    g = rng.normal(0.5, 1.0, (400, 64, 6))  # 400 experiments: |E g|^2 = 1.5, tr Cov = 6
    found = noise_scale(lags_like(g))
    low, high = found.log_scale_D2.T
    assert np.isfinite(found.log_scale_D2).all()
    assert 0.91 <= ((low <= np.log(4.0)) & (np.log(4.0) <= high)).mean() <= 0.98


def test_a_signal_that_is_not_told_from_zero_has_no_upper_end():
    g = np.random.default_rng(2).normal(0.0, 1.0, (200, 64, 6))
    low, high = noise_scale(lags_like(g)).log_scale_D2.T
    assert np.isinf(high).mean() > 0.9
    assert np.isfinite(low).mean() > 0.9
