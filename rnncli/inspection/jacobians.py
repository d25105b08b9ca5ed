"""Products of step Jacobians along the data, and what the weight matrix alone would say.

Dimension key: R rows, T steps, H hidden; A_t = dh_t/dh_{t-1} = D_t W_hh.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli.inspection.adjoints import Array, Trajectory

HENRICI_LIMIT = 0.3  # above it eigenvalues say little about products: the matrix is too far from normal


@dataclass(frozen=True)
class WeightReport:
    """M0: W_hh by itself. None of these decides: see docs/gradients.md."""

    rho: float  # spectral radius, largest |eigenvalue|
    rho_reliable: bool
    sigma_max: float
    sigma_min: float
    rms_gain: float  # Frobenius norm / sqrt(H): the gain of a random direction
    henrici: float  # distance from normality over the Frobenius norm, 0 (normal) .. 1

    def to_json(self) -> dict[str, float | bool]:
        return asdict(self)


def weight_report(w_HH: Array) -> WeightReport:
    """Spectral radius, singular values and Henrici's departure from normality of W_hh (H, H)."""
    eigenvalues = np.linalg.eigvals(w_HH)
    singular = np.linalg.svd(w_HH, compute_uv=False)
    square = float((w_HH * w_HH).sum())
    departure = max(square - float((np.abs(eigenvalues) ** 2).sum()), 0.0)
    henrici = float(np.sqrt(departure / square)) if square > 0 else 0.0
    return WeightReport(
        rho=float(np.abs(eigenvalues).max()),
        rho_reliable=henrici <= HENRICI_LIMIT,
        sigma_max=float(singular[0]),
        sigma_min=float(singular[-1]),
        rms_gain=float(np.sqrt(square / w_HH.shape[0])),
        henrici=henrici,
    )


def log_spaced_lags(longest: int) -> list[int]:
    """Lags to print: 0, 1, 2, 3, 5, 10, 20, 30, 50, 100, ... up to `longest`, which is always among them."""
    lags, decade = [0], 1
    while decade <= longest:
        lags += [decade * m for m in (1, 2, 3, 5) if decade * m <= longest]
        decade *= 10
    return sorted({*lags, longest})


def product_norms(rows: list[Trajectory], w_HH: Array, lags: list[int]) -> NDArray[np.float64]:
    """Natural log of the spectral norm of P(T, T-l) = A_T ... A_{T-l+1}, (len(lags), R); NaN where a row is too short.

    Lag 0 is the identity. Products are rescaled at each step, so nothing under- or overflows.
    """
    result = np.full((len(lags), len(rows)), np.nan)
    wanted = {lag: i for i, lag in enumerate(lags)}
    for r, row in enumerate(rows):
        product, scale = np.eye(w_HH.shape[0]), 0.0
        for lag in range(min(row.steps, max(lags) + 1)):
            if lag in wanted:
                with np.errstate(divide="ignore"):
                    result[wanted[lag], r] = scale + np.log(np.linalg.norm(product, 2))
            product = (product * row.d_TH[row.steps - 1 - lag]) @ w_HH
            size = np.sqrt((product * product).sum())
            if size > 0:
                product, scale = product / size, scale + float(np.log(size))
    return result
