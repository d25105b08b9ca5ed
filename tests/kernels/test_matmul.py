"""Products of rows: equal to NumPy's, and a row never notices its neighbours."""

import numpy as np
import pytest

from rnncli.kernels.matmul import add_product, add_product_of_transpose

SHAPES = [(1, 1, 1), (4, 4, 16), (5, 7, 3), (8, 130, 33), (3, 64, 65), (0, 5, 4), (5, 0, 4)]
SHAPES += [(17, 129, 1), (6, 300, 70), (9, 31, 64), (7, 5, 100), (4, 200, 131)]


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


def test_a_row_does_not_depend_on_the_other_rows():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(23, 133)).astype(np.float32), rng.normal(size=(133, 77)).astype(np.float32)
    whole = np.zeros((23, 77), np.float32)
    add_product(whole, a, b)
    for i in range(23):
        alone = np.zeros((1, 77), np.float32)
        add_product(alone, a[i : i + 1], b)
        np.testing.assert_array_equal(alone[0], whole[i])
