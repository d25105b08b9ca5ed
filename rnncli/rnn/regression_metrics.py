"""Errors of predicted numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.results import RegressionResult


def regression_scores(true_nO: NDArray[Any], predicted_nO: NDArray[Any]) -> RegressionResult:
    """Mean squared and absolute error over all rows and outputs, and the share of the variance that is explained.

    R2 = 1 - sum (y - p)^2 / sum (y - mean y)^2, the mean taken output by output; None where nothing varies.
    """
    true = np.asarray(true_nO, np.float64)
    error = true - np.asarray(predicted_nO, np.float64)
    spread = float(((true - true.mean(axis=0)) ** 2).sum())
    mse = float((error**2).mean())
    return RegressionResult(
        n=len(true),
        outputs=int(true.shape[1]),
        mse=mse,
        rmse=float(np.sqrt(mse)),
        mae=float(np.abs(error).mean()),
        r2=1.0 - float((error**2).sum()) / spread if spread > 0 else None,
    )
