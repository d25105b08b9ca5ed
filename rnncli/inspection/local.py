"""Local derivatives of every cell: what one step multiplies an adjoint with, from the pre-activations, in float64.

Dimension key: N tokens, each row's in the order that the chain reads them, H units, G gates x H, n state size.

Derivatives come from pre-activations (sech^2(a), not 1 - h^2, which float arithmetic rounds to 0 from |a| = 19 on). The
Jacobians A_t = ds_t / ds_{t-1}, in the terms of kernels/adjoints.py:

    tanh, ReLU   D W                                                                              D = diag(alpha)
    LSTM         [[O_h + Dc C_h, Dc F], [C_h, F]],  C_h = beta_i U_i + beta_f U_f + beta_g U_g,  O_h = alpha_o U_o
    GRU after    Z + alpha_z U_z + alpha_n R U_n + alpha_r U_r                        (torch, cuDNN)
    GRU before   Z + alpha_z U_z + alpha_n U_n (R + H' U_r)                           (Cho et al. 2014)
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnncli.kernels import adjoints as walk

Array = NDArray[np.float64]
FORMS = {
    "rnn": walk.SIMPLE,
    "relu": walk.SIMPLE,
    "lstm": walk.LSTM,
    "gru": walk.GRU_AFTER,
    "gru_before": walk.GRU_BEFORE,
}
GATE_NAMES = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n"), "gru_before": ("r", "z", "n")}


@dataclass(frozen=True)
class LocalDerivatives:
    """Factors of one step at each token; arrays that a cell has no use for have zeros."""

    form: int
    alpha_NG: Array  # da / dh
    beta_NG: Array  # LSTM: da / dc
    mix_NH: Array  # LSTM: dc' / dh' of one step, o sech^2(c)
    keep_NH: Array  # direct path: LSTM f, GRU z
    reset_NH: Array  # GRU: r
    gate_NH: Array  # GRU before: h_{t-1} r (1 - r)
    gates: dict[str, Array] = field(default_factory=dict)  # values of the sigmoid gates by name


def sigmoid(a: Array) -> Array:
    """1 / (1 + e^-a) without overflow."""
    z = np.exp(-np.abs(a))
    return np.asarray(np.where(a >= 0, 1.0, z) / (1.0 + z))


def dsigmoid(a: Array) -> Array:
    """Its derivative e^-|a| / (1 + e^-|a|)^2, exact where 1 - sigmoid would round to 0."""
    z = np.exp(-np.abs(a))
    return np.asarray(z / (1.0 + z) ** 2)


def sech2(a: Array) -> Array:
    """Derivative of tanh."""
    z = np.exp(-2.0 * np.abs(a))
    return np.asarray(4.0 * z / (1.0 + z) ** 2)


def simple_derivatives(derivative_NH: Array) -> LocalDerivatives:
    """Of h' = g(W h + ...), from g'(a) at each token."""
    none = np.zeros_like(derivative_NH)
    return LocalDerivatives(walk.SIMPLE, np.ascontiguousarray(derivative_NH), none, none, none, none, none)


def lstm_derivatives(a_NG: Array, c_NH: Array, c_before_NH: Array) -> LocalDerivatives:
    """a_NG in the order i, f, g, o."""
    a_i, a_f, a_g, a_o = np.split(a_NG, 4, axis=1)
    i, f, g, o, tanh_c = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o), np.tanh(c_NH)
    none = np.zeros_like(c_NH)
    alpha = np.concatenate([none, none, none, tanh_c * dsigmoid(a_o)], axis=1)
    beta = np.concatenate([g * dsigmoid(a_i), c_before_NH * dsigmoid(a_f), i * sech2(a_g), none], axis=1)
    return LocalDerivatives(walk.LSTM, alpha, beta, o * sech2(c_NH), f, none, none, {"i": i, "f": f, "o": o})


def gru_derivatives(a_NG: Array, h_before_NH: Array, m_NH: Array, before: bool) -> LocalDerivatives:
    """a_NG in the order r, z, n; m_NH is W_hn h + b_hn (reset after the product) or r h (before)."""
    a_r, a_z, a_n = np.split(a_NG, 3, axis=1)
    r, z, n = sigmoid(a_r), sigmoid(a_z), np.tanh(a_n)
    none = np.zeros_like(z)
    to_z, to_n = (h_before_NH - n) * dsigmoid(a_z), (1.0 - z) * sech2(a_n)
    to_r = none if before else to_n * m_NH * dsigmoid(a_r)
    gate = h_before_NH * dsigmoid(a_r) if before else none
    alpha = np.concatenate([to_r, to_z, to_n], axis=1)
    form = walk.GRU_BEFORE if before else walk.GRU_AFTER
    return LocalDerivatives(form, alpha, np.zeros_like(alpha), none, z, r, gate, {"r": r, "z": z})


def state_jacobian(local: LocalDerivatives, w_hh_GH: Array, n: int) -> Array:
    """A_t (n, n) at token n, written out: for Lyapunov exponents, long products, and as an oracle of the walk."""
    size = w_hh_GH.shape[1]
    blocks = w_hh_GH.reshape(-1, size, size)
    alpha, beta = local.alpha_NG[n].reshape(-1, size, 1), local.beta_NG[n].reshape(-1, size, 1)
    if local.form == walk.SIMPLE:
        return np.asarray(alpha[0] * blocks[0])
    if local.form == walk.LSTM:
        to_c = beta[0] * blocks[0] + beta[1] * blocks[1] + beta[2] * blocks[2]
        mix, keep = local.mix_NH[n][:, None], np.diag(local.keep_NH[n])
        return np.block([[alpha[3] * blocks[3] + mix * to_c, mix * keep], [to_c, keep]])
    keep, reset = np.diag(local.keep_NH[n]), local.reset_NH[n]
    if local.form == walk.GRU_AFTER:
        return np.asarray(keep + alpha[1] * blocks[1] + alpha[2] * (reset[:, None] * blocks[2]) + alpha[0] * blocks[0])
    inner = np.diag(reset) + local.gate_NH[n][:, None] * blocks[0]
    return np.asarray(keep + alpha[1] * blocks[1] + alpha[2] * (blocks[2] @ inner))


def log_abs_dets(local: LocalDerivatives, w_hh_GH: Array, at: NDArray[np.int64]) -> Array:
    """log |det A_t| at some tokens: in closed form for simple cells and the LSTM, by elimination for the GRU; -inf if singular.

    LSTM: det A = det U_o prod f tanh(c') o (1 - o).
    """
    size = w_hh_GH.shape[1]
    with np.errstate(divide="ignore"):
        if local.form == walk.SIMPLE:
            factors = local.alpha_NG[at]
        elif local.form == walk.LSTM:
            factors = np.concatenate([local.keep_NH[at], local.alpha_NG[at, 3 * size :]], axis=1)
        else:
            return np.array([np.linalg.slogdet(state_jacobian(local, w_hh_GH, int(n)))[1] for n in at])
        return np.asarray(np.linalg.slogdet(w_hh_GH[-size:])[1] + np.log(np.abs(factors)).sum(axis=1))


def log_abs_det(local: LocalDerivatives, w_hh_GH: Array, n: int) -> float:
    """The same at one token."""
    return float(log_abs_dets(local, w_hh_GH, np.array([n]))[0])


def block_names(cell: str) -> tuple[str, ...]:
    """Names of the recurrent blocks: W_hh, or one for each gate."""
    return tuple(f"W_h{gate}" for gate in GATE_NAMES[cell]) if cell in GATE_NAMES else ("W_hh",)
