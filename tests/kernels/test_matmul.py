"""Products of rows: equal to NumPy's, and a row never notices its neighbours."""

from fractions import Fraction

import numpy as np
import pytest

from rnncli.kernels._jit import HAS_WIDE_REGISTERS
from rnncli.kernels.matmul import (
    add_packed_columns,
    add_packed_product,
    add_product,
    add_product_of_transpose,
    packed,
    packed_transpose,
)

SHAPES = [(1, 1, 1), (4, 4, 16), (5, 7, 3), (8, 130, 33), (3, 64, 65), (0, 5, 4), (5, 0, 4)]
SHAPES += [(17, 129, 1), (6, 300, 70), (9, 31, 64), (7, 5, 100), (4, 200, 131), (33, 270, 137)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_add_product_adds_the_product(m, k, n, dtype):
    rng = np.random.default_rng(m * 100 + k * 10 + n)
    a, b, c = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype), np.ones((m, n), dtype)
    expected = 1.0 + a.astype(np.float64) @ b.astype(np.float64)
    add_product(c, a, b)
    np.testing.assert_allclose(c, expected, rtol=0, atol=np.finfo(dtype).eps * 8 * (k + 1))
    d = np.ones((m, n), dtype)
    add_product_of_transpose(d, np.ascontiguousarray(a.T), b)
    np.testing.assert_array_equal(c, d, err_msg="the transposed form must give the same bits")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("k", "n"), [(133, 77), (300, 150), (9, 8)])
def test_a_row_does_not_depend_on_the_other_rows(k, n, dtype):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(23, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    whole = np.zeros((23, n), dtype)
    add_product(whole, a, b)
    for i in range(23):
        alone = np.zeros((1, n), dtype)
        add_product(alone, a[i : i + 1], b)
        np.testing.assert_array_equal(alone[0], whole[i])
    for rows in (2, 3, 4, 6, 8, 13):
        some = np.zeros((rows, n), dtype)
        add_product(some, a[:rows], b)
        np.testing.assert_array_equal(some, whole[:rows])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "k", "n"), [(1, 6, 20), (9, 300, 150), (13, 31, 64), (4, 0, 4), (0, 3, 4)])
def test_a_packed_matrix_gives_the_same_bits(m, k, n, dtype):
    rng = np.random.default_rng(2)
    a, b, c = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype), np.ones((m, n), dtype)
    add_product(c, a, b)
    for p in (packed(b), packed_transpose(np.ascontiguousarray(b.T))):
        d = np.ones((m, n), dtype)
        add_packed_product(d, a, p)
        np.testing.assert_array_equal(d, c)
        wide = np.ones((m, n + 7), dtype)
        add_packed_columns(wide, 3, n, np.hstack([a, a]), k, k, p)
        np.testing.assert_array_equal(wide[:, 3 : n + 3], c)
        assert (wide[:, :3] == 1).all()
        assert (wide[:, n + 3 :] == 1).all()


@pytest.mark.skipif(not HAS_WIDE_REGISTERS, reason="not every smaller machine has fused multiply-adds")
def test_float64_sums_run_upwards_in_fused_steps():
    """Exact sums, rounded once a step: what no other order and no rounded product gives."""
    rng = np.random.default_rng(3)
    m, k, n = 9, 40, 21
    a, b, c = rng.normal(size=(m, k)), rng.normal(size=(k, n)), rng.normal(size=(m, n))
    expected = np.empty_like(c)
    for i in range(m):
        for j in range(n):
            s = c[i, j]
            for step in range(k):
                s = float(Fraction(a[i, step]) * Fraction(b[step, j]) + Fraction(s))
            expected[i, j] = s
    for rows in (1, m):
        out = c[:rows].copy()
        add_product(out, a[:rows], b)
        np.testing.assert_array_equal(out, expected[:rows])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_the_result_is_written_and_nan_stays_in_its_row_and_column(dtype):
    rng = np.random.default_rng(4)
    a, b, c = rng.normal(size=(11, 30)).astype(dtype), rng.normal(size=(30, 37)).astype(dtype), np.ones((20, 37), dtype)
    a[3, 7], b[5, 36], a[9, 29] = np.nan, np.inf, np.inf
    add_product(c[4:15], a, b)
    assert (c[:4] == 1).all()
    assert (c[15:] == 1).all()
    assert np.isnan(c[7]).all()
    assert not np.isfinite(c[4:15, 36]).any()
    assert np.isinf(c[13, :36]).all()
    np.testing.assert_array_equal(np.isfinite(c[4:15]).sum(axis=1), [0 if i in (3, 9) else 36 for i in range(11)])
