"""What the first layer reads: the vectors of a token and of its features side by side, or numbers as they are.

Dimension key: N tokens, E embedding, K features of a token, F width of a feature, I = E + K F, U distinct rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.kernels import sequence
from rnncli.rnn.packing import DistinctTokens, PackedBatch
from rnncli.rnn.spec import NetworkSpec

Array = NDArray[Any]
GATHER_SHARDS = 16  # pieces a look-up or a dropout mask is cut into; the result does not depend on it


@dataclass(frozen=True)
class SparseRows:
    """The gradient of a table, for the rows that a batch touched."""

    rows_U: NDArray[np.int32]  # ascending
    values_UE: Array


def look_up(spec: NetworkSpec, tables: dict[str, Array], batch: PackedBatch, dtype: np.dtype[Any]) -> Array:
    """x (N, I) of a batch, the caller's to change."""
    n = batch.position_N.size
    if spec.inputs:
        assert batch.values_NI is not None
        return np.array(batch.values_NI, dtype, order="C")
    x_NE = _rows_of(tables["embedding"], batch.ids_N, dtype)
    if not spec.features:
        return x_NE
    assert batch.features_NK is not None
    f_NF = _rows_of(tables["features"], batch.features_NK.reshape(-1), dtype).reshape(n, -1)
    x_NI = np.empty((n, spec.input_size), dtype)
    sequence.put_columns(x_NI, x_NE, 0, batch.identity_N)
    sequence.put_columns(x_NI, f_NF, spec.embedding_dim, batch.identity_N)
    return x_NI


def look_up_backward(spec: NetworkSpec, dx_NI: Array, batch: PackedBatch) -> dict[str, SparseRows]:
    """Gradients of the tables' rows from dL/dx (N, I)."""
    if spec.inputs:
        return {}
    if not spec.features:
        return {"embedding": _sum_by_row(dx_NI, batch.distinct)}
    n = dx_NI.shape[0]
    dx_NE = np.empty((n, spec.embedding_dim), dx_NI.dtype)
    df_NF = np.empty((n, spec.features * spec.feature_dim), dx_NI.dtype)
    sequence.take_columns(dx_NE, dx_NI, 0, batch.identity_N)
    sequence.take_columns(df_NF, dx_NI, spec.embedding_dim, batch.identity_N)
    features = _sum_by_row(df_NF.reshape(-1, spec.feature_dim), batch.distinct_features)
    return {"embedding": _sum_by_row(dx_NE, batch.distinct), "features": features}


def _rows_of(table_VE: Array, ids_N: NDArray[np.int32], dtype: np.dtype[Any]) -> Array:
    out_NE = np.empty((ids_N.size, table_VE.shape[1]), dtype)
    sequence.gather(out_NE, table_VE, ids_N, GATHER_SHARDS)
    return out_NE


def _sum_by_row(dx_NE: Array, distinct: DistinctTokens) -> SparseRows:
    values_UE = np.empty((distinct.rows_U.size, dx_NE.shape[1]), dx_NE.dtype)
    sequence.scatter_add(values_UE, dx_NE, distinct.order_N, distinct.starts_U)
    return SparseRows(distinct.rows_U, values_UE)
