"""Gradient norms over minibatches at fixed weights, and how far one update moves the weights.

Dimension key: N minibatches, U rows of a table that a batch touched, E width of a table.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rnncli.config.rnn import TrainingConfig
from rnncli.rnn.inputs import SparseRows
from rnncli.rnn.network import Gradients, Network
from rnncli.rnn.optimiser import Optimiser, global_norm
from rnncli.rnn.packing import PackedBatch

Array = NDArray[Any]
Minibatch = tuple[PackedBatch, Array, Array | None]  # batch, targets and weights (None: 1) of its loss terms
TAIL_SHARE, TAIL_VALUES = 0.1, 10  # the Hill estimator reads the largest tenth of the norms, if that is ten or more
SUGGEST_FROM = 200  # norms from which a threshold is suggested


@dataclass(frozen=True)
class Clip:
    """The clipping of training.clip_norm and training.clip_value; 0 is none. Elements are clipped before the norm."""

    norm: float = 0.0
    value: float = 0.0

    @classmethod
    def of(cls, config: TrainingConfig) -> "Clip":
        return cls(config.clip_norm, config.clip_value)

    @property
    def type(self) -> Literal["none", "norm", "value"]:
        """What is reported; "norm" where both are on."""
        return "norm" if self.norm > 0 else "value" if self.value > 0 else "none"

    def acts(self, norm: float, parts: Iterable[Array]) -> bool:
        """Whether it changes a gradient of this global norm with these parts, as Optimiser.step would."""
        if self.value > 0 and any(bool((np.abs(part) > self.value).any()) for part in parts):
            return True
        return 0.0 < self.norm < norm

    def to_json(self) -> dict[str, Any]:
        both = {"element_value": self.value} if self.norm > 0 and self.value > 0 else {}
        return {"type": self.type, "value": self.norm or self.value or None, **both}


@dataclass(frozen=True)
class NormReport:
    """M14: the global norm of each minibatch's gradient, that of each block, and whether clipping would change it."""

    global_N: NDArray[np.float64]  # inf and NaN as they came
    blocks: dict[str, NDArray[np.float64]]  # (N,) each, by the name of a dense parameter or a table
    clip: Clip
    clipped_N: NDArray[np.bool_]

    @property
    def finite_N(self) -> NDArray[np.bool_]:
        return np.isfinite(self.global_N)

    @property
    def clipped_share(self) -> float | None:
        """Share of the minibatches with a finite gradient that the current clipping changes."""
        return float(self.clipped_N[self.finite_N].mean()) if self.finite_N.any() else None

    @property
    def suggested(self) -> float | None:
        """A threshold for the global norm: its mean, held within its median and its 90 % point; None below 200 norms.

        Pascanu, Mikolov & Bengio 2013, section 3.2, set it by statistics of the average norm; one half to ten times
        that works as well. The median bounds it because a mean over a heavy tail may lie anywhere.
        """
        norms = self.global_N[self.finite_N]
        if norms.size < SUGGEST_FROM or norms.max() == 0.0:
            return None
        return float(np.clip(norms.mean(), np.quantile(norms, 0.5), np.quantile(norms, 0.9)))

    def to_json(self) -> dict[str, Any]:
        """The key `norms` of the report."""
        norms = self.global_N[self.finite_N]
        whole = quantiles(norms, (0.5, 0.9, 0.99))
        middle = whole["p50"]
        return {
            "steps": int(self.global_N.size),
            "global": {
                **whole,
                "max_over_median": whole["max"] / middle if whole["max"] is not None and middle else None,
                "tail_index": tail_index(norms),
                "nonfinite": int((~self.finite_N).sum()),
            },
            "per_block": {
                name: quantiles(norm_N[np.isfinite(norm_N)], (0.5, 0.99)) for name, norm_N in self.blocks.items()
            },
            "values_log10": [
                float(np.log10(norm)) if np.isfinite(norm) and norm > 0 else None for norm in self.global_N
            ],
            "clip": {**self.clip.to_json(), "fraction": self.clipped_share, "suggested": self.suggested},
        }


def quantiles(values: NDArray[np.float64], at: tuple[float, ...]) -> dict[str, float | None]:
    """{"p50": .., ..., "max": ..} of finite values, interpolated; None where there are none."""
    found: dict[str, float | None] = {
        f"p{round(100 * q)}": float(np.quantile(values, q)) if values.size else None for q in at
    }
    return {**found, "max": float(values.max()) if values.size else None}


def tail_index(values: NDArray[np.float64]) -> float | None:
    """Hill's estimate of alpha in P(X > x) ~ x^-alpha from the k = n/10 largest values; None where k < 10.

    1 / alpha = mean log(x_i / x_(k+1)) over the k largest (Hill 1975). Below 2 the variance is infinite, below 1 the mean;
    a thin tail has no power and gives a large number. The standard error is alpha / sqrt(k).
    """
    k = int(TAIL_SHARE * values.size + 1e-9)
    if k < TAIL_VALUES:
        return None
    largest = np.sort(values)[-k - 1 :]
    if largest[0] <= 0.0 or largest[-1] == largest[0]:
        return None
    return float(1.0 / np.log(largest[1:] / largest[0]).mean())


def trained(network: Network, gradients: Gradients, train_embedding: bool) -> Gradients:
    """The gradients without those of a frozen embedding, which no norm counts (see rnn/optimiser.py)."""
    if train_embedding or network.spec.tied:
        return gradients
    return replace(gradients, sparse={name: rows for name, rows in gradients.sparse.items() if name != "embedding"})


def parts_of(network: Network, gradients: Gradients) -> dict[str, Array]:
    """Each block's gradient: dense parameters by their name, then tables (only touched rows, where that is all there is)."""
    slots = network.dense.slots
    dense = {name: gradients.dense_P[slot.offset : slot.offset + slot.size] for name, slot in slots.items()}
    sparse = {name: rows.values_UE for name, rows in sorted(gradients.sparse.items())}
    return {**dense, **sparse, **dict(sorted(gradients.full.items()))}


def length(values: Array) -> float:
    """Euclidean norm of all elements, float64, summed by NumPy in one order."""
    return float(np.sqrt(np.sum(np.square(values, dtype=np.float64))))


def norms_of_gradients(
    network: Network, gradients: Iterable[Gradients], clip: Clip, train_embedding: bool = True
) -> NormReport:
    """Norms of gradients that were all computed with these weights, one a minibatch; at least one."""
    norms: list[float] = []
    blocks: dict[str, list[float]] = {}
    clipped: list[bool] = []
    for one in gradients:
        counted = trained(network, one, train_embedding)
        parts = parts_of(network, counted)
        with np.errstate(over="ignore", invalid="ignore"):
            norms.append(global_norm(counted))
            for name, part in parts.items():
                blocks.setdefault(name, []).append(length(part))
            clipped.append(bool(np.isfinite(norms[-1])) and clip.acts(norms[-1], parts.values()))
    return NormReport(
        np.array(norms), {name: np.array(values) for name, values in blocks.items()}, clip, np.array(clipped, np.bool_)
    )


def measure_norms(
    network: Network,
    batches: Iterable[Minibatch],
    clip: Clip,
    *,
    smoothing: float = 0.0,
    train_embedding: bool = True,
) -> NormReport:
    """M14 over minibatches (about 200), dropout off, gradients through whole rows; the network stays as it is.

    For gradients as training makes them (dropout, truncated windows) give those of Task.steps to `norms_of_gradients`.
    """
    found = (network.gradients(batch, targets, None, weights_M, smoothing) for batch, targets, weights_M in batches)
    return norms_of_gradients(network, found, clip, train_embedding)


def update_ratio(
    network: Network,
    gradients: Gradients,
    config: TrainingConfig,
    *,
    train_embedding: bool = True,
    optimiser: Optimiser | None = None,
    lr_factor: float = 1.0,
) -> dict[str, float | None]:
    """M15: |delta theta| / |theta| of each block for one step of the configured optimiser on a copy of the network.

    Clipping, learning rate (times `lr_factor`) and weight decay are those of `config`. Of a table that a batch touches in
    some rows, only these rows are counted, above and below: the others do not move. `optimiser` gives the moments of a run
    under way (it is copied); without it they are zero, and the first step of Adam then moves every weight by about lr
    (Kingma & Ba 2015, section 2.1). None: the block is zero, or the gradient is not finite and nothing would be moved.
    """
    before, after = network, network.astype(network.dtype)
    rule = deepcopy(optimiser) if optimiser is not None else Optimiser(config, after, train_embedding)
    counted = trained(network, gradients, train_embedding)
    norm = rule.step(after, _copied(counted), lr_factor)
    ratios: dict[str, float | None] = {
        name: _ratio(before.dense[name], after.dense[name], norm) for name in network.dense.slots
    }
    for name in sorted(counted.sparse.keys() | counted.full.keys()):
        old, new = before.tables[name], after.tables[name]
        if name not in counted.full:
            rows_U = counted.sparse[name].rows_U
            old, new = old[rows_U], new[rows_U]
        ratios[name] = _ratio(old, new, norm)
    return ratios


def _copied(gradients: Gradients) -> Gradients:
    """The same numbers in memory of their own: clipping works in place."""
    return Gradients(
        gradients.loss_M,
        gradients.dense_P.copy(),
        {name: SparseRows(rows.rows_U, rows.values_UE.copy()) for name, rows in gradients.sparse.items()},
        {name: whole.copy() for name, whole in gradients.full.items()},
    )


def _ratio(old: Array, new: Array, norm: float) -> float | None:
    size = length(old)
    if not np.isfinite(norm) or size == 0.0:
        return None
    return length(new.astype(np.float64) - old.astype(np.float64)) / size
