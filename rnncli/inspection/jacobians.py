"""What the recurrent weights are (M0) and what long products of Jacobians do (M3): kept apart on purpose.

Dimension key: H hidden, n state size, L lags, R rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.inspection.local import Array, block_names, state_jacobian
from rnncli.inspection.rollout import Chain, Ints

HENRICI_LIMIT = 0.3  # above it the matrix is far from normal and its spectral radius says little about products
PSEUDO_POINTS = 25  # of each axis of the grid that the pseudospectrum is drawn on
WORK = 4e10  # multiplications that long products may cost in a deep inspection


@dataclass(frozen=True)
class WeightReport:
    """Sizes of one recurrent block."""

    block: str
    rho: float  # spectral radius
    rho_reliable: bool
    sigma_max: float
    sigma_min: float
    rms_gain: float  # |W|_F / sqrt(H): gain of a random direction
    henrici: float  # departure from normality over |W|_F
    numerical_abscissa: float  # largest eigenvalue of (W + W^T) / 2
    eigenvalues: NDArray[np.complex128]


def weight_report(w_HH: Array, block: str = "W_hh") -> WeightReport:
    """Spectral numbers of one block (H, H)."""
    eigenvalues = np.linalg.eigvals(w_HH).astype(np.complex128)
    singular = np.linalg.svd(w_HH, compute_uv=False)
    square = float((w_HH * w_HH).sum())
    departure = max(square - float((np.abs(eigenvalues) ** 2).sum()), 0.0)
    henrici = float(np.sqrt(departure / square)) if square > 0 else 0.0
    return WeightReport(
        block,
        rho=float(np.abs(eigenvalues).max()),
        rho_reliable=henrici <= HENRICI_LIMIT,
        sigma_max=float(singular[0]),
        sigma_min=float(singular[-1]),
        rms_gain=float(np.sqrt(square / w_HH.shape[0])),
        henrici=henrici,
        numerical_abscissa=float(np.linalg.eigvalsh((w_HH + w_HH.T) / 2)[-1]),
        eigenvalues=eigenvalues[np.lexsort((eigenvalues.imag, -np.abs(eigenvalues)))],
    )


def chain_weights(chain: Chain) -> list[WeightReport]:
    """One report for each recurrent block of a chain."""
    blocks = chain.w_hh_GH.reshape(-1, chain.hidden, chain.hidden)
    return [weight_report(w, name) for w, name in zip(blocks, block_names(chain.cell), strict=True)]


def transient(w_HH: Array, lags: list[int]) -> Array:
    """Natural log of |W^l|_2 at the given lags, ascending; powers are rescaled, so nothing over- or underflows."""
    result = np.empty(len(lags))
    power, scale, done = np.eye(w_HH.shape[0]), 0.0, 0
    for i, lag in enumerate(lags):
        for _ in range(lag - done):
            power = power @ w_HH
            size = float(np.sqrt((power * power).sum()))
            if size > 0:
                power, scale = power / size, scale + float(np.log(size))
        done = lag
        with np.errstate(divide="ignore"):
            result[i] = scale + np.log(np.linalg.norm(power, 2))
    return result


def kreiss_constant(w_HH: Array, radii: int = 60, angles: int = 60) -> float:
    """A lower bound of sup_{|z| > 1} (|z| - 1) |(zI - W)^-1|, which the peak of |W^l| never stays below (Kreiss 1962)."""
    eye, best = np.eye(w_HH.shape[0]), 0.0
    for radius in 1.0 + np.geomspace(1e-3, 10.0, radii):
        for angle in np.linspace(0.0, np.pi, angles):
            smallest = np.linalg.svd(radius * np.exp(1j * angle) * eye - w_HH, compute_uv=False)[-1]
            best = max(best, (radius - 1.0) / smallest if smallest > 0 else np.inf)
    return float(best)


def pseudospectrum(w_HH: Array) -> dict[str, Any]:
    """log10 of the smallest singular value of zI - W on a grid: within eps lie the eigenvalues of all W + E, |E| < eps."""
    size = 1.25 * max(1.0, float(np.abs(np.linalg.eigvals(w_HH)).max()))
    axis = np.linspace(-size, size, PSEUDO_POINTS)
    upper = axis[axis >= 0]
    eye = np.eye(w_HH.shape[0])
    rows = [[float(np.linalg.svd((x + 1j * y) * eye - w_HH, compute_uv=False)[-1]) for x in axis] for y in upper]
    both = rows[:0:-1] + rows  # the matrix is real: the lower half mirrors the upper one
    logs = np.log10(np.maximum(np.array(both), 1e-300))
    return {"re": axis.tolist(), "im": axis.tolist(), "sigma_min_log10": logs.tolist()}


def log_spaced_lags(longest: int) -> list[int]:
    """Lags to print: 0, 1, 2, 3, 5, 10, 20, 30, 50, 100, ... up to `longest`, which is always among them."""
    lags, decade = [0], 1
    while decade <= longest:
        lags += [decade * m for m in (1, 2, 3, 5) if decade * m <= longest]
        decade *= 10
    return sorted({*lags, longest})


@dataclass(frozen=True)
class Products:
    """Of P(T, T-l) = A_T ... A_{T-l+1}, (L, R); natural logs; NaN where a row is too short. Lag 0 is the identity."""

    lags: list[int]
    spectral_LR: Array
    frobenius_LR: Array

    @property
    def stable_rank_LR(self) -> Array:
        """|P|_F^2 / |P|_2^2: how many directions survive."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.exp(2.0 * (self.frobenius_LR - self.spectral_LR)))


def product_norms(chain: Chain, offsets: Ints, rows: list[int], lags: list[int]) -> Products:
    """Norms of the products that end at the last step of each of the given rows; rescaled, so nothing under- or overflows."""
    spectral, frobenius = (np.full((len(lags), len(rows)), np.nan) for _ in range(2))
    wanted = {lag: i for i, lag in enumerate(lags)}
    for r, row in enumerate(rows):
        product, scale = np.eye(chain.state_size), 0.0
        for lag in range(min(int(offsets[row + 1] - offsets[row]), max(lags) + 1)):
            if lag in wanted:
                with np.errstate(divide="ignore"):
                    spectral[wanted[lag], r] = scale + np.log(np.linalg.norm(product, 2))
                    frobenius[wanted[lag], r] = scale + 0.5 * np.log((product * product).sum())
            product = product @ state_jacobian(chain.local, chain.w_hh_GH, int(offsets[row + 1]) - 1 - lag)
            size = np.sqrt((product * product).sum())
            if size > 0:
                product, scale = product / size, scale + float(np.log(size))
    return Products(lags, spectral, frobenius)


def affordable_rows(chain: Chain, lengths: Ints, most: int) -> list[int]:
    """The longest rows whose products cost no more than WORK together; one at least."""
    order = [int(r) for r in np.argsort(-lengths, kind="stable")]
    cost = float(chain.state_size) ** 3 * max(1, int(lengths.max()))
    return order[: max(1, min(most, int(WORK / cost)))]
