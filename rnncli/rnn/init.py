"""First values of the weights, every one drawn from the counter-based generator."""

import numpy as np
from numpy.typing import NDArray

from rnncli import rng

Array = NDArray[np.float64]


def uniform(key: np.uint64, shape: tuple[int, ...], bound: float) -> Array:
    """U(-bound, bound)."""
    return ((2.0 * rng.uniforms(key, int(np.prod(shape))) - 1.0) * bound).reshape(shape)


def xavier(key: np.uint64, shape: tuple[int, int]) -> Array:
    """Glorot & Bengio 2010, eq. 16: U(-b, b), b = sqrt(6 / (fan_in + fan_out))."""
    return uniform(key, shape, float(np.sqrt(6.0 / (shape[0] + shape[1]))))


def orthogonal(key: np.uint64, size: int, gain: float = 1.0) -> Array:
    """A random orthogonal matrix times `gain` (Saxe et al. 2014), Haar by the sign fix of Mezzadri 2007."""
    q, r = np.linalg.qr(rng.normals(key, size * size).reshape(size, size))
    return np.asarray(gain * q * np.sign(np.diag(r)))


def recurrent(name: str, key: np.uint64, size: int) -> Array:
    """W_hh (H, H) by the config's name."""
    if name == "orthogonal":
        return orthogonal(key, size)
    if name == "identity":
        return np.eye(size)  # Le, Jaitly & Hinton 2015
    if name == "xavier":
        return xavier(key, (size, size))
    return uniform(key, (size, size), size**-0.5)  # as torch.nn.RNN
