"""The lag matrix of every cell, depth, direction and read-out against products of Jacobians and one-loss gradients."""

import numpy as np
import pytest
from factory import CELLS, LENGTHS, made

from rnncli.inspection.lag_collector import lag_slots
from rnncli.inspection.lag_matrix import WalkSettings, walk
from rnncli.inspection.local import log_abs_det, state_jacobian
from rnncli.inspection.rollout import roll_out


def jacobian_by_differences(step, s, size=1e-6):
    columns = []
    for j in range(s.size):
        d = np.zeros(s.size)
        d[j] = size
        columns.append((8 * (step(s + d) - step(s - d)) - (step(s + 2 * d) - step(s - 2 * d))) / (12 * size))
    return np.array(columns).T


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def one_step(cell, wx, w, b_hn, s):
    """A step written out; wx holds W_ih x + b."""
    size = w.shape[1]
    h = s[:size]
    if cell in ("rnn", "relu"):
        a = wx + w @ h
        return np.tanh(a) if cell == "rnn" else np.maximum(a, 0)
    if cell == "lstm":
        i, f, g, o = np.split(wx + w @ h, 4)
        c = sigmoid(f) * s[size:] + sigmoid(i) * np.tanh(g)
        return np.concatenate([sigmoid(o) * np.tanh(c), c])
    x_r, x_z, x_n = np.split(wx, 3)
    r, z = sigmoid(x_r + w[:size] @ h), sigmoid(x_z + w[size : 2 * size] @ h)
    inner = r * (w[2 * size :] @ h + b_hn) if cell == "gru" else w[2 * size :] @ (r * h) + b_hn
    return z * h + (1 - z) * np.tanh(x_n + inner)


@pytest.mark.parametrize("cell", CELLS)
def test_jacobians_are_the_central_differences_of_a_step_written_out(cell):
    network, data, targets = made(cell)
    chain = roll_out(network, data, targets).chains[0]
    size = chain.hidden
    b, b_hn = network.dense["rnn.bias_l0"], network.dense["rnn.bias_hn_l0"] if "gru" in cell else None
    for n in (0, 3, 12):
        wx = chain.w_ih_GI @ chain.x_NI[n] + b
        s = chain.h_before_NH[n]
        if cell == "lstm":
            c_before = np.zeros(size)
            for k in range({0: 0, 3: 0, 12: 11}[n], n):  # the cell, from the beginning of the row
                s_k = one_step(cell, chain.w_ih_GI @ chain.x_NI[k] + b, chain.w_hh_GH, None,
                               np.concatenate([chain.h_before_NH[k], c_before]))  # fmt: skip
                c_before = s_k[size:]
            s = np.concatenate([s, c_before])
        expected = jacobian_by_differences(lambda s, wx=wx: one_step(cell, wx, chain.w_hh_GH, b_hn, s), s)
        got = state_jacobian(chain.local, chain.w_hh_GH, n)
        np.testing.assert_allclose(got, expected, atol=1e-9)
        if cell != "relu":
            assert log_abs_det(chain.local, chain.w_hh_GH, n) == pytest.approx(np.linalg.slogdet(got)[1], abs=1e-9)


@pytest.mark.parametrize("cell", CELLS)
def test_adjoints_are_products_of_jacobians(cell):
    network, data, targets = made(cell)
    rollout = roll_out(network, data, targets)
    lags = walk(rollout, WalkSettings(sample_lags=(0, 2)))[0]
    chain = rollout.chains[0]
    assert lags.log_norm_LA.shape == (9, sum(LENGTHS))
    for a in range(lags.row_A.size):
        first = rollout.offsets[lags.row_A[a]]
        delta = np.zeros(chain.state_size)
        delta[: chain.hidden] = rollout.direct_NO[first + lags.at_A[a]]
        for lag in range(9):
            k = lags.at_A[a] - lag
            if k < 0:
                assert np.isnan(lags.log_norm_LA[lag:, a]).all()
                break
            norm = np.linalg.norm(delta)
            if norm == 0:
                assert np.isneginf(lags.log_norm_LA[lag, a])
                break
            assert lags.log_norm_LA[lag, a] == pytest.approx(np.log(norm), abs=1e-12)
            delta = state_jacobian(chain.local, chain.w_hh_GH, first + k).T @ delta
            if np.linalg.norm(delta) > 0:
                assert lags.total_LA[lag, a] == pytest.approx(np.log(np.linalg.norm(delta) / norm), abs=1e-11)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_each_loss_alone_moves_each_input_as_the_matrix_says(cell, layers, bidirectional):
    """A loss by itself, through the training kernels: the gradient of a word is dL_t/dx_k, for each word is read once."""
    network, data, targets = made(cell, layers, bidirectional)
    rollout = roll_out(network, data, targets)
    results = walk(rollout, WalkSettings(inputs=True, sums=False))
    from rnncli.rnn.packing import pack

    batch = pack(data, np.arange(data.n))
    out = network.forward(batch)
    forward = results[0]
    for a in range(forward.row_A.size):
        position = data.starts[forward.row_A[a]] + forward.at_A[a]
        only = (batch.position_N == position).astype(float)
        rows = network.backward(out, batch, targets[batch.position_N], None, only).sparse["embedding"]
        first, length = data.starts[forward.row_A[a]], data.lengths[forward.row_A[a]]
        for k in range(length):
            at = np.searchsorted(rows.rows_U, data.ids[first + k])
            expected = np.linalg.norm(rows.values_UE[at])
            parts = []
            for chain, result in zip(rollout.chains, results, strict=True):
                if chain.place.layer == 0:
                    parts.append(result)
            if not bidirectional:
                if k <= forward.at_A[a]:
                    got = parts[0].input_log_LA[forward.at_A[a] - k, a]
                    assert np.exp(got) == pytest.approx(expected, rel=1e-9, abs=1e-13)
                else:
                    assert expected == 0
            elif layers == 1 and k < forward.at_A[a]:  # on one side only one direction reaches the word
                assert np.exp(parts[0].input_log_LA[forward.at_A[a] - k, a]) == pytest.approx(
                    expected, rel=1e-9, abs=1e-13
                )


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["each", "last", "mean", "max", "attention"])
def test_sums_over_lags_are_the_gradient_and_shares_sum_to_one(cell, layers, bidirectional, pooling):
    network, data, targets = made(cell, layers, bidirectional, pooling)
    rollout = roll_out(network, data, targets)
    for chain, lags in zip(rollout.chains, walk(rollout, WalkSettings()), strict=True):
        for q, name in enumerate(("W_hh", "W_ih", "b")):
            whole = chain.gradients[name]
            np.testing.assert_allclose(lags.sum_QGI[name].sum(axis=0), whole, atol=1e-12, err_msg=name)
            square = float((whole**2).sum())
            if name == "b" and "b_hn" in chain.gradients:
                square += float((chain.gradients["b_hn"] ** 2).sum())
            assert lags.share_QCL[q].sum() == pytest.approx(square, rel=1e-11, abs=1e-14)
            by_slot = lags.sum_QGI[name]
            edges = lag_slots(9)
            if name != "b":
                for slot in range(len(edges) - 1):
                    inner = float((by_slot[slot] * whole).sum())
                    got = lags.share_QCL[q][:, edges[slot] : edges[slot + 1]].sum()
                    assert got == pytest.approx(inner, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_the_total_adjoint_is_the_sum_over_losses(cell):
    network, data, targets = made(cell, layers=2)
    rollout = roll_out(network, data, targets)
    top = walk(rollout, WalkSettings())[1]
    chain = rollout.chains[1]
    for r in range(rollout.rows.size):
        a, b = rollout.offsets[r], rollout.offsets[r + 1]
        delta = np.zeros(chain.state_size)
        for n in range(b - 1, a - 1, -1):
            delta[: chain.hidden] += rollout.direct_NO[n]
            np.testing.assert_allclose(top.total_Nn[n], delta, rtol=1e-12, atol=1e-14)
            delta = state_jacobian(chain.local, chain.w_hh_GH, n).T @ delta


@pytest.mark.parametrize("threads", [2, 3])
def test_the_same_bits_with_any_number_of_threads(threads):
    network, data, targets = made("lstm", 2, True)
    rollout = roll_out(network, data, targets)
    settings = {"inputs": True, "sample_lags": (0, 1, 3)}
    for one, more in zip(
        walk(rollout, WalkSettings(**settings)), walk(rollout, WalkSettings(**settings, threads=threads)), strict=True
    ):
        for name in ("log_norm_LA", "share_QCL", "cell_cos_LA", "input_log_LA", "unit_LSn", "total_Nn"):
            np.testing.assert_array_equal(getattr(one, name), getattr(more, name))


def test_slots_of_lags_cover_all():
    assert list(lag_slots(1)) == [0, 1]
    assert list(lag_slots(2)) == [0, 1, 2]
    assert list(lag_slots(14)) == [0, 1, 2, 3, 5, 7, 10, 14]
    assert list(lag_slots(120)) == [0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 120]
