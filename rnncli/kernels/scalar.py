"""Scalar functions that inline into vector loops: tanh, sigmoid, exp, derivatives, the counter hash.

In float32 tanh is a rational approximation fitted for this project (relative error 2e-8 in exact arithmetic,
4e-7 as computed) and exp a polynomial: they vectorise, math.tanh and math.exp do not. In float64 they are the
library's: gradient checks and inspection need every digit.
"""

import math

import numpy as np

from rnncli import rng
from rnncli.kernels._jit import by_precision, inline_kernel

# tanh(x) = x P(x^2) / Q(x^2) on |x| <= 9, minimax in relative error (iteratively re-weighted least squares).
TANH_BOUND = np.float32(9.0)
P0, P1, P2, P3, P4 = (
    np.float32(c)
    for c in (
        0.9999999794850213,
        0.13381013487700744,
        0.003495573665475705,
        2.0608846264534906e-05,
        1.3354343491843124e-08,
    )
)
Q1, Q2, Q3, Q4 = (
    np.float32(c) for c in (0.46714329089763834, 0.025876927219129934, 0.0003285611212111571, 7.776425961916263e-07)
)
ONE = np.float32(1.0)
HALF = np.float32(0.5)
FOUR = np.float32(4.0)


def _tanh_single(x):
    x = min(max(x, -TANH_BOUND), TANH_BOUND)
    s = x * x
    p = (((P4 * s + P3) * s + P2) * s + P1) * s + P0
    q = (((Q4 * s + Q3) * s + Q2) * s + Q1) * s + ONE
    return min(max(x * p / q, -ONE), ONE)


def _tanh_double(x):
    return math.tanh(x)


tanh = by_precision(_tanh_single, _tanh_double)


def _sigmoid_single(x):
    return HALF + HALF * tanh(HALF * x)


def _sigmoid_double(x):
    z = math.exp(-abs(x))
    return 1.0 / (1.0 + z) if x >= 0.0 else z / (1.0 + z)


sigmoid = by_precision(_sigmoid_single, _sigmoid_double)


# e^x = 2^n e^r, |r| <= ln(2)/2, e^r by its Taylor polynomial of degree 7 (next term below 6e-9).
LOG2E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
EXP_LOWEST, EXP_HIGHEST = np.float32(-87.0), np.float32(88.0)
E2, E3, E4, E5, E6, E7 = (np.float32(1.0 / math.factorial(i)) for i in range(2, 8))


def _exp_single(x):
    x = min(max(x, EXP_LOWEST), EXP_HIGHEST)
    n = np.floor(x * LOG2E + HALF)
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = ((((((E7 * r + E6) * r + E5) * r + E4) * r + E3) * r + E2) * r + ONE) * r + ONE
    scale = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return p * scale


def _exp_double(x):
    return math.exp(x)


exp = by_precision(_exp_single, _exp_double)


def _dsigmoid_single(x):
    z = exp(-abs(x))
    return z / ((ONE + z) * (ONE + z))


def _dsigmoid_double(x):
    z = math.exp(-abs(x))
    return z / ((1.0 + z) * (1.0 + z))


def _sech2_single(a):
    z = exp(-(abs(a) + abs(a)))
    return FOUR * z / ((ONE + z) * (ONE + z))


def _sech2_double(a):
    z = math.exp(-2.0 * abs(a))
    return 4.0 * z / ((1.0 + z) * (1.0 + z))


# sigmoid'(a) = e^-|a| / (1 + e^-|a|)^2, exact where sigmoid (1 - sigmoid) has cancelled to zero.
dsigmoid = by_precision(_dsigmoid_single, _dsigmoid_double)

# tanh'(a) = 4 e^(-2|a|) / (1 + e^(-2|a|))^2, exact where 1 - tanh(a)^2 has cancelled to zero (float32: |a| > 9).
sech2 = by_precision(_sech2_single, _sech2_double)


@inline_kernel
def softplus(x):
    """log(1 + e^x) without overflow, in float64; -log sigmoid(x) = softplus(-x)."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


_mix64 = inline_kernel(rng.mix64)


@inline_kernel
def counter_hash(key, position):
    """The draw (uint64) at `position` of the sequence `key`: rng.counter_uint64, compiled."""
    return _mix64(key + (np.uint64(position) + np.uint64(1)) * rng.GOLDEN)
