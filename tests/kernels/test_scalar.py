"""The fast scalar functions against NumPy's, and the compiled hash against rng.py."""

import numpy as np
import pytest

from rnncli import rng
from rnncli.kernels import scalar
from rnncli.kernels._jit import kernel

_functions = {"tanh": scalar.tanh, "sigmoid": scalar.sigmoid, "exp": scalar.exp, "sech2": scalar.sech2}
_exact = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "exp": np.exp,
    "sech2": lambda x: 4.0 * np.exp(-2 * np.abs(x)) / (1.0 + np.exp(-2 * np.abs(x))) ** 2,
}


def _compiled(name):
    function = _functions[name]

    @kernel
    def apply(out, x):
        for i in range(x.size):
            out[i] = function(x[i])

    return apply


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 6e-7), (np.float64, 5e-15)])
@pytest.mark.parametrize("name", list(_functions))
def test_scalar_functions_match_numpy(name, dtype, tolerance):
    x = np.concatenate([np.linspace(-30, 30, 5001), [0.0, 1e-6, -1e-6]]).astype(dtype)
    out = np.empty_like(x)
    _compiled(name)(out, x)
    expected = _exact[name](x.astype(np.float64))
    # sigmoid in float32 is 0.5 + 0.5 tanh: exact to an absolute, not a relative, error near 0
    atol = 2e-7 if (name, dtype) == ("sigmoid", np.float32) else 0.0
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=atol)


def test_tanh_never_leaves_minus_one_to_one():
    x = np.linspace(-50, 50, 100_001).astype(np.float32)
    out = np.empty_like(x)
    _compiled("tanh")(out, x)
    assert np.abs(out).max() <= 1.0
    assert np.diff(out).min() >= -1e-6, "monotone but for the error of the fit"


def test_derivative_survives_where_one_minus_tanh_squared_is_zero():
    a = np.float32(10.0)
    assert np.float32(1) - np.tanh(a) ** 2 == 0
    out = np.empty(1, np.float32)
    _compiled("sech2")(out, np.array([a]))
    assert out[0] == pytest.approx(8.244614e-9, rel=1e-5)


def test_compiled_hash_is_the_hash_of_rng():
    counter_hash = scalar.counter_hash

    @kernel
    def fill(out, key):
        for i in range(out.size):
            out[i] = counter_hash(key, i)

    key = rng.key(7, rng.Stream.WINDOW, 3)
    out = np.empty(100, np.uint64)
    fill(out, key)
    np.testing.assert_array_equal(out, rng.uint64s(key, 100))
