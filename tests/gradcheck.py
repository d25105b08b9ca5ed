"""Central differences: the wall every backward pass leans on."""

import numpy as np


def central_differences(function, x, step=1e-5):
    """d function() / d x, by moving each element of x in place; function takes no argument and returns a float."""
    flat = x.reshape(-1)
    assert np.shares_memory(flat, x)
    grad = np.zeros(flat.size)
    for i in range(flat.size):
        kept = flat[i]
        flat[i] = kept + step
        above = function()
        flat[i] = kept - step
        below = function()
        flat[i] = kept
        grad[i] = (above - below) / (2.0 * step)
    return grad.reshape(x.shape)


def relative_error(a, b):
    """max |a - b| / max(|a|, |b|)."""
    return float(np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max(), 1e-300))
