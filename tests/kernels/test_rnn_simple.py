"""The recurrence and its BPTT: against the NumPy twin, central differences and torch; packing and shards change nothing."""

import numpy as np
import pytest
from gradcheck import central_differences, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import rnn as reference

from rnncli.kernels import rnn_simple
from rnncli.params import ParamStore
from rnncli.rnn.packing import pack_batch

IN, H = 3, 5


def make_params(dtype, seed=0, i_size=IN, h_size=H):
    store = ParamStore({"w_ih": (h_size, i_size), "w_hh": (h_size, h_size), "b": (h_size,)}, dtype)
    store.flat[:] = np.random.default_rng(seed).normal(size=store.flat.size) * 0.5
    return store


def make_batch(lengths, shard_rows=4):
    """A packed batch over a data set whose token n has id n, so that ids_N says where each token came from."""
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    return pack_batch(np.arange(offsets[-1], dtype=np.int32), offsets, np.arange(len(lengths)), shard_rows), offsets


def run_forward(params, x, batch, relu):
    rows = (x.shape[0], x.shape[0], batch.lengths_B.size)
    cache = rnn_simple.SimpleCache(*(np.full((n, params["b"].size), np.nan, x.dtype) for n in rows))
    start = np.empty((0, params["b"].size), x.dtype)
    rnn_simple.simple_forward(cache, x, params.flat, 0, batch.lengths_B, batch.rows_S, batch.tokens_S, start, relu)
    return cache


def run_backward(params, x, cache, dh, batch, relu):
    dflat = np.zeros((batch.shards, params.flat.size), x.dtype)
    dx = np.empty_like(x)
    rnn_simple.simple_backward(
        dx, dflat, dh.copy(), cache, x, params.flat, 0, batch.lengths_B, batch.rows_S, batch.tokens_S, relu
    )
    grads = params.zeros_like()
    grads.flat[:] = dflat.sum(axis=0)
    return dx, grads


@pytest.mark.parametrize("relu", [False, True])
@given(st.lists(st.integers(0, 7), min_size=1, max_size=11), st.sampled_from([1, 3, 4, 16]))
@settings(deadline=None, max_examples=30)
def test_forward_and_backward_match_the_numpy_twin(relu, lengths, shard_rows):
    rng = np.random.default_rng(sum(lengths))
    params = make_params(np.float64)
    batch, offsets = make_batch(lengths, shard_rows)
    x_all, dh_all = rng.normal(size=(offsets[-1], IN)), rng.normal(size=(offsets[-1], H))
    order = batch.ids_N
    x = np.ascontiguousarray(x_all[order])
    cache = run_forward(params, x, batch, relu)
    dx, grads = run_backward(params, x, cache, dh_all[order], batch, relu)
    expected = [np.zeros_like(params[n]) for n in ("w_ih", "w_hh", "b")]
    for r in range(len(lengths)):
        rows = slice(offsets[r], offsets[r + 1])
        h, a = reference.forward(x_all[rows], params["w_ih"], params["w_hh"], params["b"], relu)
        packed = np.argsort(order)[rows]
        np.testing.assert_allclose(cache.h_NH[packed], h, atol=1e-12)
        np.testing.assert_allclose(cache.a_NH[packed], a, atol=1e-12)
        dx_r, *parts = reference.backward(dh_all[rows], x_all[rows], h, a, params["w_ih"], params["w_hh"], relu)
        np.testing.assert_allclose(dx[packed], dx_r, atol=1e-12)
        for total, part in zip(expected, parts, strict=True):
            total += part
    for name, total in zip(("w_ih", "w_hh", "b"), expected, strict=True):
        np.testing.assert_allclose(grads[name], total, atol=1e-11)


@pytest.mark.parametrize("relu", [False, True])
def test_gradients_match_central_differences(relu):
    """The analytic gradient of every parameter and input agrees with central differences in float64."""
    rng = np.random.default_rng(3)
    params = make_params(np.float64, 3)
    batch, _ = make_batch([6, 1, 4, 0, 6, 2])
    x, weight = rng.normal(size=(19, IN)), rng.normal(size=(19, H))

    def loss():
        return float((run_forward(params, x, batch, relu).h_NH * weight).sum())

    dx, grads = run_backward(params, x, run_forward(params, x, batch, relu), weight, batch, relu)
    for name in params:
        assert relative_error(grads[name], central_differences(loss, params[name])) < 1e-8, name
    assert relative_error(dx, central_differences(loss, x)) < 1e-8


@pytest.mark.parametrize("relu", [False, True])
def test_a_row_alone_gives_the_same_bits_as_in_a_batch(relu):
    params = make_params(np.float32, 4, 33, 37)
    lengths = [9, 3, 12, 12, 1, 7, 5]
    batch, offsets = make_batch(lengths)
    x_all = np.random.default_rng(5).normal(size=(offsets[-1], 33)).astype(np.float32)
    cache = run_forward(params, np.ascontiguousarray(x_all[batch.ids_N]), batch, relu)
    where = np.argsort(batch.ids_N)
    for r, length in enumerate(lengths):
        alone, _ = make_batch([length])
        own = run_forward(params, np.ascontiguousarray(x_all[offsets[r] : offsets[r + 1]]), alone, relu)
        np.testing.assert_array_equal(own.h_NH, cache.h_NH[where[offsets[r] : offsets[r + 1]]])


def test_forward_is_causal():
    params = make_params(np.float64, 6)
    batch, _ = make_batch([8])
    x = np.random.default_rng(7).normal(size=(8, IN))
    before = run_forward(params, x, batch, False).h_NH.copy()
    x[5] += 1.0
    after = run_forward(params, x, batch, False).h_NH
    np.testing.assert_array_equal(before[:5], after[:5])
    assert np.abs(before[5:] - after[5:]).min() > 0


def test_nan_is_seen_not_swallowed():
    params = make_params(np.float32)
    batch, _ = make_batch([3])
    x = np.zeros((3, IN), np.float32)
    x[1, 0] = np.nan
    h = run_forward(params, x, batch, False).h_NH
    assert np.isfinite(h[0]).all()
    assert np.isnan(h[2]).any()


@pytest.mark.parametrize("relu", [False, True])
def test_matches_torch(relu):
    torch = pytest.importorskip("torch")
    params = make_params(np.float32, 8, 6, 10)
    params.flat *= 0.6
    length, rows = 12, 5
    batch, offsets = make_batch([length] * rows)
    rng = np.random.default_rng(9)
    x_all = rng.normal(size=(offsets[-1], 6)).astype(np.float32)
    dh_all = rng.normal(size=(offsets[-1], 10)).astype(np.float32)
    peer = torch.nn.RNN(6, 10, nonlinearity="relu" if relu else "tanh", batch_first=True)
    peer.load_state_dict(
        {
            "weight_ih_l0": torch.from_numpy(params["w_ih"].copy()),
            "weight_hh_l0": torch.from_numpy(params["w_hh"].copy()),
            "bias_ih_l0": torch.from_numpy(params["b"].copy()),
            "bias_hh_l0": torch.zeros(10),
        }
    )
    x_t = torch.from_numpy(x_all.reshape(rows, length, 6)).requires_grad_()
    out, _ = peer(x_t)
    out.backward(torch.from_numpy(dh_all.reshape(rows, length, 10)))
    x = np.ascontiguousarray(x_all[batch.ids_N])
    cache = run_forward(params, x, batch, relu)
    dx, grads = run_backward(params, x, cache, dh_all[batch.ids_N], batch, relu)
    where = np.argsort(batch.ids_N)
    np.testing.assert_allclose(cache.h_NH[where], out.detach().numpy().reshape(-1, 10), atol=1e-5)
    assert relative_error(dx[where], x_t.grad.numpy().reshape(-1, 6)) < 1e-4
    for name, theirs in (("w_ih", peer.weight_ih_l0), ("w_hh", peer.weight_hh_l0), ("b", peer.bias_ih_l0)):
        assert relative_error(grads[name], theirs.grad.numpy()) < 1e-4, name
