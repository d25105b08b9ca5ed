"""Errors of predicted numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.results import RegressionResult


def regression_scores(true_nO: NDArray[Any], predicted_nO: NDArray[Any]) -> RegressionResult:
    """Mean squared and absolute error over all rows and outputs, and the share of the variance that is explained.

    R2 = 1 - sum (y - p)^2 / sum (y - mean y)^2, the mean taken output by output; None where nothing varies.
    """
    true, predicted = np.asarray(true_nO, np.float64), np.asarray(predicted_nO, np.float64)
    if true.shape != predicted.shape:  # they might broadcast, and give scores of something else
        raise ValueError(f"true numbers {true.shape} and predicted ones {predicted.shape} differ in shape")
    error = true - predicted
    varies = bool((true.max(axis=0) > true.min(axis=0)).any())  # a sum of squares of rounding errors is no variance
    spread = float(((true - true.mean(axis=0)) ** 2).sum())
    mse = float((error**2).mean())
    return RegressionResult(
        n=len(true),
        outputs=int(true.shape[1]),
        mse=mse,
        rmse=float(np.sqrt(mse)),
        mae=float(np.abs(error).mean()),
        r2=1.0 - float((error**2).sum()) / spread if varies and spread > 0 else None,
    )
