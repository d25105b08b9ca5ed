"""First values of the weights, every one drawn from the counter-based generator."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.config.rnn import RecurrentConfig

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Start:
    """How the recurrent layers begin: W_hh, and the biases of the gates that keep the state."""

    how: str = "orthogonal"
    forget_bias: float = (
        1.0  # Jozefowicz, Zaremba & Sutskever 2015: an LSTM that forgets at first learns long gaps late
    )
    chrono: int | None = None  # the longest gap to be bridged

    @classmethod
    def of(cls, model: RecurrentConfig) -> "Start":
        return cls(model.init, model.forget_bias, model.chrono)


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


def chrono(key: np.uint64, size: int, longest: int) -> Array:
    """Biases ln U(1, longest - 1) (H,): a gate that keeps for 1 .. `longest` steps (Tallec & Ollivier 2018, section 2)."""
    return np.asarray(np.log(1.0 + (longest - 2.0) * rng.uniforms(key, size)))


def recurrent(name: str, key: np.uint64, size: int) -> Array:
    """W_hh (H, H) by the config's name."""
    if name == "orthogonal":
        return orthogonal(key, size)
    if name == "identity":
        return np.eye(size)  # Le, Jaitly & Hinton 2015
    if name == "xavier":
        return xavier(key, (size, size))
    return uniform(key, (size, size), size**-0.5)  # as torch.nn.RNN
