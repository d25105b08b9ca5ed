"""Sixteen lanes at a time, against NumPy."""

import numpy as np
import pytest

from rnncli.kernels import lanes
from rnncli.kernels._jit import kernel
from rnncli.kernels.lanes import load_first, store_first


@kernel
def _apply(out, a, which):
    for i in range(0, a.shape[0], 16):
        v = lanes.load(a, i)
        if which == 0:
            lanes.store(out, i, lanes.sigmoid(v))
        elif which == 1:
            lanes.store(out, i, lanes.log(v))
        elif which == 2:
            lanes.store(out, i, lanes.survival(v))
        elif which == 3:
            lanes.store(out, i, lanes.sub(lanes.mul(v, v), lanes.splat(a[i])))
        elif which == 4:
            lanes.store(out, i, lanes.inverse_sqrt(v))
        elif which == 5:
            lanes.store(out, i, lanes.exp_negative(v))
        elif which == 6:
            lanes.store(out, i, lanes.splat(lanes.total(v)))


@kernel
def _twelve(out, a):
    v = lanes.sums_of_twelve(
        lanes.load(a, 0), lanes.load(a, 16), lanes.load(a, 32), lanes.load(a, 48), lanes.load(a, 64), lanes.load(a, 80),
        lanes.load(a, 96), lanes.load(a, 112), lanes.load(a, 128), lanes.load(a, 144), lanes.load(a, 160),
        lanes.load(a, 176),
    )  # fmt: skip
    lanes.store(out, 0, v)


def apply(a, which):
    out = np.empty_like(a)
    _apply(out, a, which)
    return out


def test_sigmoid_log_and_survival_match_numpy():
    z = np.linspace(-30, 30, 1600).astype(np.float32)
    expected = 1.0 / (1.0 + np.exp(-z.astype(np.float64)))
    np.testing.assert_allclose(apply(z, 0), expected, atol=2e-7)
    p = np.concatenate([np.logspace(-32, 3, 1584), [1.0, 0.5, 2.0, 0.70710677, 0.70710683, 1.4142135] + [3.0] * 10])
    np.testing.assert_allclose(apply(p.astype(np.float32), 1), np.log(p.astype(np.float32)), rtol=3e-7, atol=2e-7)
    e = np.linspace(-1, 1, 160).astype(np.float32)
    np.testing.assert_allclose(apply(e, 2), np.maximum(1 - np.abs(e), 1e-8), atol=1e-7)


def test_inverse_roots_and_falling_exponentials_match_numpy():
    a = np.concatenate([np.logspace(-36, 37, 1600), np.linspace(0.5, 2.5, 1600)]).astype(np.float32)
    np.testing.assert_allclose(apply(a, 4), 1.0 / np.sqrt(a.astype(np.float64)), rtol=6e-6)
    z = np.concatenate([np.linspace(-86.9, 0, 3200), np.zeros(16)]).astype(np.float32)
    np.testing.assert_allclose(apply(z, 5), np.exp(z.astype(np.float64)), rtol=4e-7)
    assert apply(np.full(16, 30, np.float32), 5).tolist() == [1.0] * 16
    assert (apply(np.full(16, -1e30, np.float32), 5) < 2e-38).all()


def test_the_total_is_that_of_all_lanes():
    a = np.random.default_rng(2).normal(size=64).astype(np.float32)
    np.testing.assert_allclose(apply(a, 6), np.repeat(a.reshape(4, 16).sum(axis=1), 16), atol=1e-5)


def test_products_and_splats_are_lane_by_lane():
    a = np.random.default_rng(0).normal(size=64).astype(np.float32)
    np.testing.assert_allclose(apply(a, 3), a * a - np.repeat(a[::16], 16), atol=1e-6)


def test_sums_of_twelve_sums_every_vector():
    a = np.random.default_rng(1).normal(size=192).astype(np.float32)
    out = np.full(16, np.nan, np.float32)
    _twelve(out, a)
    np.testing.assert_allclose(out[:12], a.reshape(12, 16).sum(axis=1), atol=1e-5)
    np.testing.assert_array_equal(out[12:], 0.0)


@pytest.mark.parametrize("n", [1, 5, 15, 16])
def test_partial_loads_and_stores_touch_nothing_else(n):
    @kernel
    def copy(out, x, n):
        store_first(out, 3, n, load_first(x, 2, n))

    x, out = np.arange(20, dtype=np.float32), np.full(20, -1.0, np.float32)
    copy(out, x, n)
    np.testing.assert_array_equal(out[3 : 3 + n], x[2 : 2 + n])
    assert (np.delete(out, range(3, 3 + n)) == -1).all()
