"""Cases whose answer is known: orthogonal, scaled, Jordan, the two-unit counter-example, pinned gates, float underflow."""

import numpy as np
import pytest
from factory import driven, lags_of, linear, orthogonal
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.inspection.activity import timescales
from rnncli.inspection.jacobians import kreiss_constant, log_spaced_lags, product_norms, transient, weight_report
from rnncli.inspection.lag_statistics import LEVELS, crossing, input_shares, lag_curve, tail_rate
from rnncli.inspection.local import dsigmoid, sech2, state_jacobian
from rnncli.inspection.lyapunov import spectrum
from rnncli.inspection.rollout import roll_out
from rnncli.inspection.sections import horizons, mean_gain
from rnncli.inspection.verdict import decimal


def test_o1_an_orthogonal_linear_net_keeps_every_norm():
    rollout = linear(orthogonal(64), (100, 60))
    np.testing.assert_allclose(lag_curve(lags_of(rollout).log_norm_LA).p50_L, 0.0, atol=1e-12)
    found = spectrum(rollout.chains[0], rollout.offsets, 64, 1)
    np.testing.assert_allclose(found.values_K, 0.0, atol=1e-12)


@pytest.mark.parametrize(("gain", "rate"), [(0.9, -0.105361), (1.1, 0.095310)])
def test_o2_a_scaled_orthogonal_net_decays_at_log_g(gain, rate):
    rollout = linear(gain * orthogonal(32))
    lags = lags_of(rollout)
    curve = lag_curve(lags.log_norm_LA)
    np.testing.assert_allclose(curve.p50_L, np.log(gain) * np.arange(100), atol=1e-12)
    assert np.log(gain) == pytest.approx(rate, abs=1e-6)
    half = crossing(curve.p50_L, LEVELS["half"])
    assert half == (pytest.approx(6.5788, abs=1e-3) if gain < 1 else None)
    assert tail_rate(curve.p50_L) == pytest.approx(np.log(gain), abs=1e-12)
    squash, weights = mean_gain(lags, 50)
    assert squash == pytest.approx(0.0, abs=1e-12)
    assert weights == pytest.approx(np.log(gain), abs=1e-12)
    values = spectrum(rollout.chains[0], rollout.offsets, 32, 1).values_K
    np.testing.assert_allclose(values, np.log(gain), atol=1e-12)


def test_what_a_loss_hears_of_its_inputs_is_a_geometric_series_in_a_scaled_orthogonal_net():
    w_HH, a = 0.9 * orthogonal(2), 0.9**2
    rollout = linear(w_HH, (50, 20))
    rollout.chains[0].w_ih_GI[:] = 3.0 * orthogonal(2, seed=5)  # turns and scales: shares know neither
    share_LA = np.exp(input_shares(lags_of(rollout, inputs=True).input_log_LA))
    lags = np.arange(50)
    for length, share_L in zip((50, 20), share_LA.T, strict=True):
        np.testing.assert_allclose(share_L[:length], a ** lags[:length] * (1 - a) / (1 - a**length), rtol=1e-11)
        assert np.isnan(share_L[length:]).all()
        assert np.nansum(share_L) == pytest.approx(1.0, abs=1e-12)


def test_shares_of_the_inputs_know_silence_and_sizes_beyond_floats():
    log = np.array([[-2000.0, -np.inf, 900.0], [-2000.0, -np.inf, -np.inf], [-np.inf, np.nan, np.nan]])
    share = input_shares(log)
    np.testing.assert_allclose(share[:, 0], [np.log(0.5), np.log(0.5), -np.inf])
    assert np.isnan(share[:, 1]).all()  # the loss hears nothing: no share is of anything
    np.testing.assert_array_equal(share[:2, 2], [0.0, -np.inf])


def test_o4_a_jordan_block_grows_first_although_its_radius_is_below_one():
    jordan = np.array([[0.9, 1.0], [0.0, 0.9]])
    report = weight_report(jordan)
    assert report.rho == pytest.approx(0.9, abs=1e-6)
    assert report.sigma_max == pytest.approx(1.52956, abs=1e-5)
    assert not report.rho_reliable
    rollout = linear(jordan, (41,))
    products = product_norms(rollout.chains[0], rollout.offsets, [0], list(range(41)))  # linear: they are powers
    for norms in (np.exp(products.spectral_LR[:, 0]), np.exp(transient(jordan, list(range(41))))):
        assert int(norms.argmax()) == 9
        assert norms[9] == pytest.approx(3.912567, abs=1e-6)
        assert norms[10] == pytest.approx(3.905336, abs=1e-6)
        assert int(np.flatnonzero(norms[1:] < 1)[0]) + 1 == 35
    assert kreiss_constant(jordan) == pytest.approx(2.600, abs=2e-3)
    assert kreiss_constant(jordan) <= 3.912567


def test_o6_saturation_can_make_a_gradient_explode():
    """Both |eigenvalues| are 0.663, one unit is saturated (D = diag(1, 0)), and the gradient grows 1.2 a step."""
    w = np.array([[1.2, -1.0], [1.0, -1.2]])
    report = weight_report(w)
    assert report.rho == pytest.approx(0.6633250, abs=1e-7)
    assert (report.sigma_max, report.sigma_min) == (pytest.approx(2.2), pytest.approx(0.2))
    assert weight_report(np.diag([1.0, 0.0]) @ w).rho == pytest.approx(1.2, abs=1e-12)
    rollout = linear(w, (60,), derivative=np.array([1.0, 0.0]))
    lags = lags_of(rollout)
    np.testing.assert_allclose(np.diff(lags.log_norm_LA[:, 0])[1:], np.log(1.2), atol=1e-12)
    assert crossing(lag_curve(lags.log_norm_LA).p50_L, LEVELS["half"]) is None
    assert spectrum(rollout.chains[0], rollout.offsets, 1, 1).values_K[0] == pytest.approx(np.log(1.2), abs=1e-12)


@pytest.mark.parametrize("a", [0.5, 0.9])
def test_o7_the_total_adjoint_looks_flat_while_every_single_one_decays(a):
    """W = aI, L = sum of 1'h over all steps: what other tools show is (1 - a^(T-k+1)) / (1 - a)."""
    steps, size = 40, 4
    rollout = linear(a * np.eye(size), (steps,), each=True, direct=1.0)
    lags = lags_of(rollout)
    expected = (1 - a ** (steps - np.arange(steps))) / (1 - a)
    np.testing.assert_allclose(lags.total_Nn, np.tile(expected[:, None], size), rtol=1e-12)
    curve = lag_curve(lags.log_norm_LA)
    np.testing.assert_allclose(curve.p50_L, np.arange(steps) * np.log(a), atol=1e-12)
    assert list(curve.count_L) == list(range(steps, 0, -1))
    if a == 0.5:
        assert lags.total_Nn[0, 0] == pytest.approx(2.0, abs=1e-11)


@given(st.integers(0, 10_000), st.sampled_from(["tanh", "sigmoid", "any"]))
@settings(deadline=None, max_examples=30)
def test_o8_pascanus_bound_holds_for_every_product(seed, activation):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(6, 6)) * rng.uniform(0.1, 2.0)
    a = rng.normal(size=(12, 6)) * 2
    derivative, gamma = {
        "tanh": (sech2(a), 1.0),
        "sigmoid": (dsigmoid(a), 0.25),
        "any": (rng.uniform(0, 1, size=(12, 6)), 1.0),
    }[activation]
    rollout = linear(w, (12,), derivative=derivative, seed=seed)
    lags = list(range(12))
    norms = product_norms(rollout.chains[0], rollout.offsets, [0], lags).spectral_LR[:, 0]
    assert (norms <= np.log(gamma * weight_report(w).sigma_max) * np.arange(12) + 1e-9).all()
    log_norm = lags_of(rollout).log_norm_LA[:, 0]
    assert (log_norm - log_norm[0] <= norms + 1e-9).all()


def test_o8_of_a_whole_tanh_network():
    network, data, targets = driven("rnn", 1.5 * orthogonal(12, 4) + 0.2, 30, kick=2.0)
    rollout = roll_out(network, data, targets)
    chain = rollout.chains[0]
    norms = product_norms(chain, rollout.offsets, [0], list(range(30))).spectral_LR[:, 0]
    assert (norms <= np.log(weight_report(chain.w_hh_GH).sigma_max) * np.arange(30) + 1e-9).all()


@pytest.mark.parametrize(("f", "bias", "at_100"), [(0.9, 2.19722, 2.6561e-5), (0.99, 4.59512, 0.366032)])
def test_o14_a_pinned_forget_gate_is_the_only_way_back(f, bias, at_100):
    """U = 0 and f constant: the cell's adjoint is f^l, H exponents are ln f, H are -inf, and dh/dh is zero."""
    size, b = 5, np.zeros(20)
    b[5:10] = np.log(f / (1 - f))
    assert b[5] == pytest.approx(bias, abs=5e-6)
    w_ih = np.random.default_rng(1).normal(size=(20, 1))
    w_ih[5:10] = 0.0
    network, data, targets = driven("lstm", np.zeros((20, size)), 130, w_ih=w_ih, bias=b)
    rollout = roll_out(network, data, targets)
    chain = rollout.chains[0]
    jacobian = state_jacobian(chain.local, chain.w_hh_GH, 40)
    assert not jacobian[:, :size].any()  # neither h nor c depends on h: a Jacobian of h alone is 0
    np.testing.assert_allclose(jacobian[size:, size:], f * np.eye(size), atol=1e-15)
    lags = lags_of(rollout)
    from_c = lags.log_norm_LA[:, 0] - lags.log_norm_LA[1, 0]  # at lag 0 the adjoint is of h
    np.testing.assert_allclose(from_c[1:], np.log(f) * np.arange(129), atol=1e-12)
    assert np.exp(from_c[101]) == pytest.approx(at_100, rel=1e-4)
    np.testing.assert_allclose(lags.cell_log_LA, lags.log_norm_LA, atol=1e-12)  # all of it came along the cell
    np.testing.assert_allclose(lags.cell_cos_LA, 1.0, atol=1e-12)
    np.testing.assert_allclose(timescales(chain), -1 / np.log(f), rtol=1e-12)
    still, data, targets = driven("lstm", np.zeros((20, size)), 130, kick=0.0, w_ih=w_ih, bias=b)  # c stays 0
    rollout = roll_out(still, data, targets)
    found = spectrum(rollout.chains[0], rollout.offsets, 2 * size, 1)
    np.testing.assert_allclose(found.values_K[:size], np.log(f), atol=1e-12)
    assert np.isneginf(found.values_K[size:]).all()
    if f == 0.9:
        assert found.values_K[0] == pytest.approx(-0.10536051565782, abs=1e-12)


def test_o17_an_active_irnn_keeps_the_gradient_exactly():
    network, data, targets = driven("relu", np.eye(8), 50, w_ih=np.full((8, 1), 0.1))
    rollout = roll_out(network, data, targets)
    chain = rollout.chains[0]
    np.testing.assert_array_equal(state_jacobian(chain.local, chain.w_hh_GH, 7), np.eye(8))
    log_norm = lags_of(rollout).log_norm_LA[:, 0]
    np.testing.assert_array_equal(log_norm, log_norm[0])
    np.testing.assert_array_equal(spectrum(chain, rollout.offsets, 8, 1).values_K.round(14), 0.0)


def test_o22_ten_to_the_minus_412_is_a_number():
    direct = np.full(16, 0.25)  # of length 1
    rollout = linear(1e-4 * orthogonal(16), (104,), direct=direct)
    lags = lags_of(rollout)
    curve = lag_curve(lags.log_norm_LA)
    assert curve.p50_L[103] / np.log(10) == pytest.approx(-412.0, abs=1e-9)
    assert decimal(curve.p50_L[103]) in ("1.0e-412", "10.0e-413")
    assert horizons(curve, None, None)["float32_underflow"] == 10
    single, w = direct.astype(np.float32), rollout.chains[0].w_hh_GH.astype(np.float32)
    for _ in range(12):
        single = w.T @ single
    assert not single.any()  # what a float32 backward pass would print


def test_products_match_plain_multiplication():
    rng = np.random.default_rng(5)
    w = rng.normal(size=(5, 5))
    derivative = rng.uniform(0.2, 1, size=(7, 5))
    rollout = linear(w, (7,), derivative=derivative)
    found = product_norms(rollout.chains[0], rollout.offsets, [0], [0, 1, 3, 6])
    for i, lag in enumerate([0, 1, 3, 6]):
        product = np.eye(5)
        for back in range(lag):
            product = product @ (np.diag(derivative[6 - back]) @ w)
        assert found.spectral_LR[i, 0] == pytest.approx(np.log(np.linalg.norm(product, 2)), abs=1e-12)
        assert found.frobenius_LR[i, 0] == pytest.approx(np.log(np.linalg.norm(product)), abs=1e-12)
        stable = (np.linalg.norm(product) / np.linalg.norm(product, 2)) ** 2
        assert found.stable_rank_LR[i, 0] == pytest.approx(stable, rel=1e-12)


def test_printed_lags_hold_both_ends():
    assert log_spaced_lags(0) == [0]
    assert log_spaced_lags(24) == [0, 1, 2, 3, 5, 10, 20, 24]
