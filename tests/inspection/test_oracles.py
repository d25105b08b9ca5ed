"""Exact cases in which the answer is known: orthogonal, scaled, Jordan, the two-unit counter-example, float underflow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.inspection.adjoints import Trajectory, update_shares, walk_back
from rnncli.inspection.horizons import LEVELS, crossing, lag_curve
from rnncli.inspection.jacobians import log_spaced_lags, product_norms, weight_report


def orthogonal(n, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def linear_row(steps, n, seed=1, derivative=None):
    """A row of a linear net (g' = 1) or of given derivatives, with a random dL/dh_T."""
    rng = np.random.default_rng(seed)
    d = np.ones((steps, n)) if derivative is None else np.broadcast_to(derivative, (steps, n)).copy()
    h = rng.normal(size=(steps, n))
    return Trajectory(d, np.vstack([np.zeros(n), h[:-1]]), rng.normal(size=(steps, 3)), rng.normal(size=n))


def test_o1_an_orthogonal_linear_net_keeps_every_norm():
    curve = lag_curve(walk_back([linear_row(100, 64)], orthogonal(64)))
    np.testing.assert_allclose(curve.p50_L, 0.0, atol=1e-12)


@pytest.mark.parametrize(("gain", "rate"), [(0.9, -0.105361), (1.1, 0.095310)])
def test_o2_a_scaled_orthogonal_net_decays_at_log_g(gain, rate):
    adjoints = walk_back([linear_row(100, 32)], gain * orthogonal(32))
    curve = lag_curve(adjoints)
    np.testing.assert_allclose(curve.p50_L, np.log(gain) * np.arange(100), atol=1e-12)
    assert np.log(gain) == pytest.approx(rate, abs=1e-6)
    half = crossing(curve.p50_L, LEVELS["half"])
    assert half == (pytest.approx(6.5788, abs=1e-3) if gain < 1 else None)
    np.testing.assert_allclose(adjoints.squash_LR[:-1], 0.0, atol=1e-12)
    np.testing.assert_allclose(adjoints.weights_LR[:-1], np.log(gain), atol=1e-12)


def test_o4_a_jordan_block_grows_first_although_its_radius_is_below_one():
    jordan = np.array([[0.9, 1.0], [0.0, 0.9]])
    report = weight_report(jordan)
    assert report.rho == pytest.approx(0.9, abs=1e-6)
    assert report.sigma_max == pytest.approx(1.52956, abs=1e-5)
    assert not report.rho_reliable
    norms = np.exp(product_norms([linear_row(41, 2)], jordan, list(range(41)))[:, 0])  # linear: products are powers
    assert int(norms.argmax()) == 9
    assert norms[9] == pytest.approx(3.912567, abs=1e-6)
    assert norms[10] == pytest.approx(3.905336, abs=1e-6)
    assert int(np.flatnonzero(norms[1:] < 1)[0]) + 1 == 35


def test_o6_saturation_can_make_a_gradient_explode():
    """Both |eigenvalues| are 0.663, one unit is saturated (D = diag(1, 0)), and the gradient grows 1.2 a step."""
    w = np.array([[1.2, -1.0], [1.0, -1.2]])
    report = weight_report(w)
    assert report.rho == pytest.approx(0.6633250, abs=1e-7)
    assert (report.sigma_max, report.sigma_min) == (pytest.approx(2.2), pytest.approx(0.2))
    adjoints = walk_back([linear_row(60, 2, derivative=np.array([1.0, 0.0]))], w)
    growth = np.diff(adjoints.log_norm_LR[:, 0])
    np.testing.assert_allclose(growth[1:], np.log(1.2), atol=1e-12)
    assert crossing(lag_curve(adjoints).p50_L, LEVELS["half"]) is None


def test_o17_an_active_irnn_keeps_the_gradient_exactly():
    curve = lag_curve(walk_back([linear_row(50, 8)], np.eye(8)))
    np.testing.assert_allclose(curve.p50_L, 0.0, atol=1e-13)


def test_o22_ten_to_the_minus_412_is_a_number():
    adjoints = walk_back([linear_row(104, 16)], 1e-4 * orthogonal(16))
    ratio = (adjoints.log_norm_LR[103] - adjoints.log_norm_LR[0])[0] / np.log(10)
    assert ratio == pytest.approx(-412.0, abs=1e-9)
    assert np.float32(10.0**-10 * 10.0**-36) == 0  # what a float32 backward pass would print


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_o8_pascanus_bound_holds_for_every_product(seed):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(6, 6)) * rng.uniform(0.1, 2.0)
    row = linear_row(12, 6, seed, derivative=rng.uniform(0, 1, size=(12, 6)))
    lags = list(range(12))
    norms = product_norms([row], w, lags)[:, 0]
    assert (norms <= np.log(weight_report(w).sigma_max) * np.arange(12) + 1e-9).all()
    adjoints = walk_back([row], w)
    assert (adjoints.log_norm_LR[:, 0] - adjoints.log_norm_LR[0, 0] <= norms + 1e-9).all()


def test_products_match_plain_multiplication():
    rng = np.random.default_rng(5)
    w = rng.normal(size=(5, 5))
    row = linear_row(7, 5, 2, derivative=rng.uniform(0.2, 1, size=(7, 5)))
    got = product_norms([row], w, [0, 1, 3, 6])[:, 0]
    for value, lag in zip(got, [0, 1, 3, 6], strict=True):
        product = np.eye(5)
        for i in range(lag):
            product = product @ (np.diag(row.d_TH[6 - i]) @ w)
        assert value == pytest.approx(np.log(np.linalg.norm(product, 2)), abs=1e-12)


def test_o20_shares_sum_to_one_and_are_those_of_the_plain_sums():
    rng = np.random.default_rng(6)
    w = rng.normal(size=(5, 5)) * 0.6
    rows = [linear_row(n, 5, n, derivative=rng.uniform(0.2, 1, size=(n, 5))) for n in (7, 3, 9)]
    shares = update_shares(rows, w)
    by_lag = [np.zeros((5, 5)) for _ in range(9)]
    for row in rows:
        delta = row.last_H
        for lag in range(row.steps):
            t = row.steps - 1 - lag
            da = delta * row.d_TH[t]
            by_lag[lag] += np.outer(da, row.h_before_TH[t]) / 3
            delta = w.T @ da
    total = sum(by_lag)
    expected = [float((g * total).sum() / (total**2).sum()) for g in by_lag]
    np.testing.assert_allclose(shares["W_hh"], expected, atol=1e-12)
    for share in shares.values():
        assert share.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_dead_gradient_is_minus_infinity_and_never_nan():
    adjoints = walk_back([linear_row(5, 4, derivative=np.zeros(4))], orthogonal(4))
    curve = lag_curve(adjoints)
    assert curve.p50_L[0] == 0
    assert np.isneginf(curve.p50_L[1:]).all()
    assert crossing(curve.p50_L, LEVELS["half"]) == 1.0


def test_rows_of_different_length_keep_their_own_lags():
    w = 0.5 * orthogonal(4)
    rows = [linear_row(n, 4, n) for n in (2, 6, 4)]
    together = walk_back(rows, w)
    assert list(lag_curve(together).count_L) == [3, 3, 2, 2, 1, 1]
    for r, row in enumerate(rows):
        alone = walk_back([row], w)
        np.testing.assert_array_equal(together.log_norm_LR[: row.steps, r], alone.log_norm_LR[:, 0])


def test_printed_lags_hold_both_ends():
    assert log_spaced_lags(0) == [0]
    assert log_spaced_lags(24) == [0, 1, 2, 3, 5, 10, 20, 24]
