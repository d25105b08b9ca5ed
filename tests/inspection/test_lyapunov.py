"""Lyapunov exponents: fixed points, chaos by mean field, the sum rule, stacked layers, and what a verdict makes of them."""

import numpy as np
import pytest
from factory import CELLS, driven, linear, made, orthogonal, probe_for

from rnncli.inspection.inspect import Inspector, inspect
from rnncli.inspection.local import state_jacobian
from rnncli.inspection.lyapunov import begin_vectors, spectrum
from rnncli.inspection.rollout import roll_out
from rnncli.kernels.tangents import orthonormalise

# lambda_1 of h' = tanh(W h), W ~ N(0, g^2 / N), N -> infinity (Sompolinsky, Crisanti & Sommers 1988)
MEAN_FIELD = {
    0.9: -0.1054, 1.1: 0.00507, 1.2: 0.01648, 1.5: 0.06522, 2: 0.15472, 3: 0.31025, 5: 0.53243, 10: 0.85644, 20: 1.19241,
}  # fmt: skip


def random_net(size, gain, seed):
    return gain / np.sqrt(size) * np.random.default_rng(seed).normal(size=(size, size))


def first_exponent(size, gain, seed, steps, rows=1):
    network, data, targets = driven("rnn", random_net(size, gain, seed), steps, seed=seed, rows=rows)
    rollout = roll_out(network, data, targets)
    return spectrum(rollout.chains[0], rollout.offsets, 1, 1).values_K[0]


def mean_field(gain):
    """Variance of the pre-activations at its fixed point, then the mean log growth: sums over a fine grid of z."""
    z = np.linspace(-9, 9, 20001)
    weight = np.exp(-z * z / 2) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
    variance = 1.0
    for _ in range(20000):
        moved = gain**2 * float((weight * np.tanh(np.sqrt(variance) * z) ** 2).sum())
        if abs(moved - variance) < 1e-13:
            break
        variance = moved
    return 0.5 * np.log(gain**2 * float((weight / np.cosh(np.sqrt(variance) * z) ** 4).sum()))


def test_o3_a_symmetric_matrix_has_the_logs_of_its_eigenvalues():
    eigenvalues = np.linspace(0.3, 1.05, 10)
    q = orthogonal(10, 2)
    rollout = linear(q @ np.diag(eigenvalues) @ q.T, (3000,))
    found = spectrum(rollout.chains[0], rollout.offsets, 10, 1)
    np.testing.assert_allclose(found.values_K, np.log(eigenvalues[::-1]), atol=1e-9)


def test_o11_the_mean_field_values_are_those_of_the_formula():
    for gain, value in MEAN_FIELD.items():
        if gain > 1:  # at .9 the variance ends at 0 and lambda_1 is ln g
            assert mean_field(gain) == pytest.approx(value, abs=6e-5 if gain == 1.1 else 1e-5)
    assert np.log(0.9) == pytest.approx(MEAN_FIELD[0.9], abs=5e-5)


@pytest.mark.parametrize(("gain", "simulated"), [(1.5, 0.0473), (2, 0.1396), (3, 0.2952), (5, 0.5118)])
def test_o11_two_hundred_units_are_chaotic_above_a_gain_of_one(gain, simulated):
    found = np.mean([first_exponent(200, gain, seed, 1500) for seed in range(3)])
    assert found == pytest.approx(simulated, abs=0.02)  # that of other nets of this size
    assert found == pytest.approx(MEAN_FIELD[gain], abs=0.03)


def test_o11_below_a_gain_of_one_every_state_falls_to_zero():
    """lambda_1 is ln rho(W) then, and rho of a finite matrix is a little above g."""
    found, rho = zip(
        *(
            (first_exponent(200, 0.9, s, 1500), np.abs(np.linalg.eigvals(random_net(200, 0.9, s))).max())
            for s in range(3)
        ),
        strict=True,
    )
    np.testing.assert_allclose(found, np.log(rho), atol=2e-3)
    assert np.mean(found) == pytest.approx(MEAN_FIELD[0.9], abs=0.06)


@pytest.mark.parametrize("gain", [1.5, 2, 3, 5])
def test_o11_eight_hundred_units_follow_the_mean_field(gain):
    found = np.mean([first_exponent(800, gain, seed, 600) for seed in range(3)])
    assert found == pytest.approx(MEAN_FIELD[gain], abs=0.01)


@pytest.mark.parametrize("cell", [c for c in CELLS if c != "relu"])
def test_o13_all_exponents_sum_to_the_mean_log_determinant(cell):
    network, data, targets = made(cell, hidden=12)
    rollout = roll_out(network, data, targets)
    chain = rollout.chains[0]
    found = spectrum(chain, rollout.offsets, chain.state_size, 1)
    assert found.values_K.size == chain.state_size
    assert found.sum_rule_error < 1e-10
    dets = [np.linalg.slogdet(state_jacobian(chain.local, chain.w_hh_GH, n))[1] for n in range(sum((7, 4, 9, 1)))]
    at = np.concatenate([np.arange(a + np.ceil(0.1 * (b - a)), b) for a, b in zip(*bounds(rollout), strict=True)])
    assert found.mean_log_det == pytest.approx(np.mean(np.array(dets)[at.astype(int)]), abs=1e-9)


def bounds(rollout):
    return rollout.offsets[:-1], rollout.offsets[1:]


def test_o13_of_a_chaotic_net():
    network, data, targets = driven("rnn", random_net(100, 2.0, 3), 300)
    rollout = roll_out(network, data, targets)
    found = spectrum(rollout.chains[0], rollout.offsets, 100, 1)
    assert found.sum_rule_error < 1e-10
    assert found.values_K[0] > 0
    assert 1 < found.kaplan_yorke < 100


def test_an_inactive_unit_takes_an_exponent_away():
    """D is singular for good: rounding must not be taken for a finite exponent."""
    rollout = linear(orthogonal(6), (80,), derivative=np.array([1.0, 1, 1, 1, 0, 0]))
    values = spectrum(rollout.chains[0], rollout.offsets, 6, 1).values_K
    assert np.isfinite(values[:4]).all()
    assert np.isneginf(values[4:]).all()


@pytest.mark.parametrize("cell", CELLS)
def test_the_exponents_of_a_stack_are_those_of_its_layers_together(cell):
    """The Jacobian of stacked layers is block triangular; with vectors that begin layer by layer the QR splits exactly."""
    network, data, targets = made(cell, layers=2, hidden=6)
    if cell == "relu":
        network.dense["rnn.bias_l0"][:] = network.dense["rnn.bias_l1"][:] = 20.0  # every unit active: no zeros
        for layer in (0, 1):
            network.dense[f"rnn.weight_hh_l{layer}"][:] *= 0.3
        network.dense["rnn.weight_ih_l1"][:] = 0.1
    rollout = roll_out(network, data, targets)
    low, high = rollout.chains
    n = low.state_size
    logs = []
    for a, b in zip(*bounds(rollout), strict=True):
        q = np.zeros((2 * n, 2 * n))  # vectors are rows
        q[:n, n:] = q[n:, :n] = begin_vectors(n, n, 1)
        for t in range(a, b):
            first, second = (state_jacobian(c.local, c.w_hh_GH, t) for c in (low, high))
            whole = np.block([[first, np.zeros((n, n))], [input_jacobian(high, t) @ first[: low.hidden], second]])
            q, log_r = np.ascontiguousarray(q @ whole.T), np.empty(2 * n)
            orthonormalise(q, log_r)
            if t - a >= np.ceil(0.1 * (b - a)):
                logs.append(log_r)
    expected = np.mean(logs, axis=0)
    for chain, part in ((high, expected[:n]), (low, expected[n:])):
        got = spectrum(chain, rollout.offsets, n, 1).values_K
        np.testing.assert_allclose(got, np.sort(part)[::-1], atol=1e-9)


def input_jacobian(chain, t):
    """d s_t / d x_t of the upper layer, by what it is made of."""
    w, local, size = chain.w_ih_GI, chain.local, chain.hidden
    alpha, beta = local.alpha_NG[t], local.beta_NG[t]
    if chain.cell in ("rnn", "relu"):
        return alpha[:, None] * w
    if chain.cell == "lstm":
        dc = sum(beta[g * size : (g + 1) * size, None] * w[g * size : (g + 1) * size] for g in range(3))
        dh = alpha[3 * size :, None] * w[3 * size :] + local.mix_NH[t][:, None] * dc
        return np.vstack([dh, dc])
    parts = [alpha[g * size : (g + 1) * size, None] * w[g * size : (g + 1) * size] for g in range(3)]
    if chain.cell == "gru":
        return parts[0] + parts[1] + parts[2]
    inner = local.gate_NH[t][:, None] * w[:size]
    return alpha[2 * size :, None] * (chain.w_hh_GH[2 * size :] @ inner) + parts[1] + parts[2]


def inspected(gain, rows=40):
    network, data, targets = driven("rnn", random_net(64, gain, 5), 60, rows=rows)
    return inspect(probe_for(network, data, targets, need=30), Inspector()).to_json()


def test_o26_a_positive_exponent_is_called_exploding():
    found = inspected(3.0)
    lyapunov = found["layers"][0]["lyapunov"]
    assert lyapunov["ci95"][0][0] > 0
    assert found["verdict"]["label"] == "exploding"
    assert any("drift apart" in f["text"] for f in found["verdict"]["findings"] if f["id"] == "V7")


def test_o26_a_fixed_point_stays_bounded():
    found = inspected(0.5)
    assert found["layers"][0]["lyapunov"]["ci95"][0][1] < 0
    assert not [f for f in found["verdict"]["findings"] if f["label"] == "exploding"]
