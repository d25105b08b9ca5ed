"""Rows of vectors as the kernels want them: padded to whole lanes, on cache lines of their own."""

import numpy as np
from numpy.typing import NDArray

from rnncli.kernels.lanes import WIDTH

LINE_FLOATS = 16  # a cache line


def padded(dim: int) -> int:
    """Floats of a row that holds `dim` of them."""
    return -(-dim // WIDTH) * WIDTH


def aligned_rows(rows: int, dim: int) -> NDArray[np.float32]:
    """Zeros (rows * dim,) that begin on a cache line."""
    raw = np.zeros(rows * dim + LINE_FLOATS, np.float32)
    skip = (-raw.ctypes.data // 4) % LINE_FLOATS
    return raw[skip : skip + rows * dim]
