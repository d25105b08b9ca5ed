"""Parameters as torch names and lays them out: two biases where this project has their sum.

rnn.bias_l0 (gates H,)                  bias_ih_l0 = b, bias_hh_l0 = 0
rnn.bias_l0, rnn.bias_hn_l0 (GRU)       bias_ih_l0 = b, bias_hh_l0 = (0, 0, b_hn): only r and z add both
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ArtifactError
from rnncli.params import ParamStore

BIAS, BIAS_HN = "rnn.bias_l", "rnn.bias_hn_l"


def torch_tensors(dense: ParamStore) -> dict[str, NDArray[Any]]:
    """The parameters by torch's names."""
    tensors: dict[str, NDArray[Any]] = {}
    for name in dense:
        if name.startswith(BIAS_HN):
            continue
        if not name.startswith(BIAS):
            tensors[name] = dense[name]
            continue
        suffix = name.removeprefix("rnn.bias_")
        tensors[f"rnn.bias_ih_{suffix}"] = dense[name]
        other = np.zeros_like(dense[name])
        if f"rnn.bias_hn_{suffix}" in dense.slots:
            own = dense[f"rnn.bias_hn_{suffix}"]
            other[-own.size :] = own
        tensors[f"rnn.bias_hh_{suffix}"] = other
    return tensors


def take_torch_tensors(dense: ParamStore, tensors: Mapping[str, NDArray[Any]]) -> None:
    """The inverse of torch_tensors, also for biases that torch trained; KeyError, or ArtifactError for a shape."""
    for name in dense:
        if name.startswith(BIAS_HN):
            values = tensors[name.replace("bias_hn", "bias_hh")][-dense[name].size :]
        elif name.startswith(BIAS):
            suffix = name.removeprefix("rnn.bias_")
            values, other = tensors[f"rnn.bias_ih_{suffix}"], tensors[f"rnn.bias_hh_{suffix}"].copy()
            if f"rnn.bias_hn_{suffix}" in dense.slots:
                other[-dense[f"rnn.bias_hn_{suffix}"].size :] = 0
            values = values + other
        else:
            values = tensors[name]
        if values.shape != dense[name].shape:
            raise ArtifactError(f"tensor {name} has shape {values.shape}, needs {dense[name].shape}")
        dense[name][:] = values
