"""Counter-based random numbers: every draw is a pure function of (seed, stream, epoch, position).

No generator carries state, so a run can be cut at any position, resumed, or split over any number of
threads and still draw the same numbers.

Source: the finaliser of splitmix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators", figure 14), applied to a keyed counter.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
SHIFT_30, SHIFT_27, SHIFT_31, SHIFT_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


class Stream(IntEnum):
    """What a sequence of draws is for; streams never share numbers. Append only: the values are part of every run."""

    INIT = 1
    ORDER = 2
    DROPOUT = 3
    SUBSAMPLE = 4
    WINDOW = 5
    NEGATIVE = 6
    SPLIT = 7
    PROBE = 8
    CHECK = 9
    SAMPLE_DATA = 10
    BOOTSTRAP = 11
    GENERATE = 12
    SURROGATE = 13
    LOSS_TERMS = 14


def mix64(z: Any) -> Any:  # also compiled by numba, see kernels/scalar.py
    """Scramble a uint64 (scalar or array): the splitmix64 finaliser, a bijection with full avalanche."""
    z = (z ^ (z >> SHIFT_30)) * MIX_1
    z = (z ^ (z >> SHIFT_27)) * MIX_2
    return z ^ (z >> SHIFT_31)


def counter_uint64(key: Any, position: Any) -> Any:
    """The draw at `position` (uint64, scalar or array) of the sequence named by `key`."""
    return mix64(key + (position + np.uint64(1)) * GOLDEN)


def key(seed: int, stream: Stream, epoch: int = 0, part: int = 0) -> np.uint64:
    """Name one sequence of draws; different arguments give unrelated sequences."""
    words = np.array([seed & 0xFFFFFFFFFFFFFFFF, int(stream), epoch, part], dtype=np.uint64)
    state = np.zeros(1, dtype=np.uint64)
    for word in words:
        state = mix64((state ^ word) + GOLDEN)
    return np.uint64(state[0])


def uint64s(key_: np.uint64, n: int, start: int = 0) -> NDArray[np.uint64]:
    """Draws `start` .. `start + n - 1` of the sequence `key_`, shape (n,)."""
    positions = np.arange(start, start + n, dtype=np.uint64)
    result: NDArray[np.uint64] = counter_uint64(np.full(1, key_, dtype=np.uint64), positions)
    return result


def uniforms(key_: np.uint64, n: int, start: int = 0) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) with 53 bits, shape (n,)."""
    return (uint64s(key_, n, start) >> SHIFT_11).astype(np.float64) * 2.0**-53


def normals(key_: np.uint64, n: int) -> NDArray[np.float64]:
    """Standard normal numbers, shape (n,), by Box & Muller (1958): two uniforms to one number."""
    u = uniforms(key_, 2 * n)
    return np.sqrt(-2.0 * np.log1p(-u[:n])) * np.cos(2.0 * np.pi * u[n:])


def permutation(key_: np.uint64, n: int) -> NDArray[np.int64]:
    """A random order of 0 .. n-1, shape (n,)."""
    return np.argsort(uint64s(key_, n), kind="stable")
