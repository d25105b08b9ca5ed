"""What the walk of one chain leaves behind, put together group by group: tables by lag, and gradients by slot of lags.

Dimension key as in lag_matrix.py; R rows.
"""

from dataclasses import dataclass

import numpy as np

from rnncli.inspection.local import Array
from rnncli.inspection.rollout import BLOCKS, Chain, Ints, Rollout
from rnncli.kernels import adjoints as kernels
from rnncli.kernels.matmul import add_product, add_product_of_transpose

EMBEDDING = "embedding"


@dataclass(frozen=True)
class ChainLags:
    """Everything measured along one chain; adjoint a is column a, NaN where a row has no such lag."""

    log_norm_LA: Array  # log |delta_{t,t-l}|
    direct_LA: Array  # log gain of squashing (simple cells) or of the path through the gate (gated cells)
    total_LA: Array  # log gain of the whole step from lag l to l + 1
    cell_log_LA: Array  # log-norm of the adjoint along the gate's path only; no rows for simple cells
    cell_cos_LA: Array
    input_log_LA: Array  # log |dL_t / dx_{t-l}|; NaN where not wanted
    row_A: Ints
    at_A: Ints  # the step of each adjoint's loss in the chain's own time
    share_QCL: Array  # <G_l, G> by block, gate and lag, not yet divided by |G|^2
    sum_QGI: dict[str, Array]  # by block: (D, ...) gradients by slot of lags
    square_DR: Array  # |G_slot of the row|^2 of W_hh; no rows where noise is not wanted
    dot_DR: Array  # <G_slot of the row, G_slot of all rows>
    total_Nn: Array  # sum over losses of the adjoint at each token
    unit_LSn: Array  # unit adjoints at the sampled lags, zero where there is none


def lag_slots(longest: int) -> Ints:
    """Where lags are put together for truncation bias: first lag of each slot, then the end.

    0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, ... as far as there are lags.
    """
    edges, decade = [0, 1, 2, 3, 5, 7], 10
    while decade < longest:
        edges += [decade, decade + decade // 2, *(decade * m for m in (2, 3, 5, 7))]
        decade *= 10
    return np.array(sorted({edge for edge in edges if edge < longest} | {longest}), np.int64)


@dataclass(frozen=True)
class Group:
    """Adjoints of some rows that walk together."""

    rows: Ints  # row numbers of the probe
    row_A: Ints
    step_A: Ints  # natural step of the read-out
    first: int  # token bounds of the rows, which need not be neighbours
    tokens: Ints  # probe tokens, row after row
    base_R: Ints  # where each row begins in `tokens`


@dataclass(frozen=True)
class Walked:
    """What the kernel wrote of one group and chain; adjoints in the group's order, pairs (A, T) row by row."""

    log_norm_P: Array
    direct_P: Array
    total_P: Array
    cell_log_P: Array
    cell_cos_P: Array
    input_log_P: Array
    dx_PI: Array
    dx_exp_P: Ints
    share_QCL: Array
    sum_NDG: Array
    total_Nn: Array
    unit_LSn: Array
    at_A: Ints
    pair_A: Ints


def has_embedding(rollout: Rollout, chain: Chain) -> bool:
    """Whether shares of the embedding's update are measured on this chain."""
    return chain.place.layer == 0 and rollout.embedding_NI is not None


def product(a: Array, b: Array) -> Array:
    out = np.zeros((a.shape[0], b.shape[1]))
    add_product(out, np.ascontiguousarray(a), np.ascontiguousarray(b))
    return out


class Collector:
    """Joins the groups of one chain."""

    def __init__(
        self, rollout: Rollout, chain: Chain, longest: int, slots: Ints, sums: bool, all_DGH: Array | None
    ) -> None:
        """`sums`: gradients by slot of lags are wanted; `all_DGH`: those of W_hh, where rows are to be compared with them."""
        self.rollout, self.chain, self.longest, self.slots = rollout, chain, longest, slots
        self.tables: dict[str, list[Array]] = {
            name: [] for name in ("log_norm", "direct", "total", "cell_log", "cell_cos", "input_log")
        }
        self.row, self.at, self.units = [], [], []  # type: ignore[var-annotated]
        kinds = chain.w_hh_GH.shape[0] // chain.hidden
        blocks = len(BLOCKS) + int(has_embedding(rollout, chain))
        self.share = np.zeros((blocks, kinds, longest))
        self.total = np.zeros((rollout.offsets[-1], chain.state_size))
        depth = slots.size - 1 if sums else 0
        shapes = {"W_hh": chain.w_hh_GH.shape, "W_ih": chain.w_ih_GI.shape, "b": (chain.w_hh_GH.shape[0],)}
        if "b_hn" in chain.gradients:
            shapes["b_hn"] = (chain.hidden,)
        self.sums = {name: np.zeros((depth, *shape)) for name, shape in shapes.items()}
        self.all_DGH = all_DGH
        self.square, self.dot = np.zeros((2, depth if all_DGH is not None else 0, rollout.rows.size))

    def add(self, group: Group, walked: Walked) -> None:
        """Groups come in order."""
        lengths_A = self.rollout.lengths[group.rows][group.row_A]
        lags = np.arange(self.longest)
        k_LA = walked.at_A[None, :] - lags[:, None]
        there = k_LA >= 0
        pair_LA = np.where(there, walked.pair_A[None, :] + k_LA, 0)
        for name, table in self.tables.items():
            values = getattr(walked, f"{name}_P")
            if values.size or name == "input_log":
                table.append(np.where(there, values[pair_LA] if values.size else np.nan, np.nan))
        assert lengths_A.size == walked.at_A.size
        self.row.append(group.rows[group.row_A])
        self.at.append(walked.at_A)
        self.units.append(walked.unit_LSn)
        self.share += walked.share_QCL
        self.total[group.tokens] += walked.total_Nn
        depth = walked.sum_NDG.shape[1]
        if depth > 1:
            for slot in range(depth):
                self._add_sums(slot, group.tokens, walked.sum_NDG[:, slot])
                self._compare(slot, int(group.rows[0]), group.tokens, walked.sum_NDG[:, slot])
        elif depth == 1:
            step = np.arange(group.tokens.size) - np.repeat(group.base_R, self.rollout.lengths[group.rows])
            at_R = np.zeros(group.rows.size, np.int64)
            at_R[group.row_A] = walked.at_A
            lag_N = np.abs(np.repeat(at_R, self.rollout.lengths[group.rows]) - step)
            slot_N = np.searchsorted(self.slots, lag_N, side="right") - 1
            for slot in np.unique(slot_N):
                chosen = np.flatnonzero(slot_N == slot)
                self._add_sums(int(slot), group.tokens[chosen], walked.sum_NDG[chosen, 0])
                row = np.repeat(np.arange(group.rows.size), self.rollout.lengths[group.rows])[chosen]
                for r in np.unique(row):
                    own = chosen[row == r]
                    self._compare(int(slot), int(group.rows[r]), group.tokens[own], walked.sum_NDG[own, 0])

    def _add_sums(self, slot: int, tokens: Ints, da_NG: Array) -> None:
        """The gradients of one slot of lags: outer products of da with what each weight read."""
        used = np.flatnonzero(da_NG.any(axis=1))
        if used.size == 0:
            return
        da, tokens, size = np.ascontiguousarray(da_NG[used]), tokens[used], self.chain.hidden
        add_product_of_transpose(self.sums["W_ih"][slot], da, np.ascontiguousarray(self.chain.x_NI[tokens]))
        self.sums["b"][slot] += da.sum(axis=0)
        form, local = self.chain.local.form, self.chain.local
        if form == kernels.GRU_AFTER:
            da[:, -size:] *= local.reset_NH[tokens]
        if "b_hn" in self.sums:
            self.sums["b_hn"][slot] += da[:, -size:].sum(axis=0)
        whole = self.sums["W_hh"][slot]
        if form == kernels.GRU_BEFORE:  # its last gate multiplies r h instead of h
            n_part = np.ascontiguousarray(da[:, -size:])
            add_product_of_transpose(whole[-size:], n_part, np.ascontiguousarray(self.chain.source_NH[tokens]))
            da, whole = np.ascontiguousarray(da[:, :-size]), whole[:-size]
        add_product_of_transpose(whole, da, np.ascontiguousarray(self.chain.h_before_NH[tokens]))

    def _compare(self, slot: int, row: int, tokens: Ints, da_NG: Array) -> None:
        """|G|^2 of one row's G = sum_k da_k h_k^T, by Gram matrices, and its product with that of all rows."""
        if self.all_DGH is None:
            return
        used = np.flatnonzero(da_NG.any(axis=1))
        da, tokens, size = da_NG[used], tokens[used], self.chain.hidden
        form, local = self.chain.local.form, self.chain.local
        if form == kernels.GRU_AFTER:
            da = np.concatenate([da[:, :-size], da[:, -size:] * local.reset_NH[tokens]], axis=1)
        h, whole = self.chain.h_before_NH[tokens], self.all_DGH[slot]
        parts = [(da, h, whole)]
        if form == kernels.GRU_BEFORE:  # its last gate multiplies r h instead of h
            parts = [
                (da[:, :-size], h, whole[:-size]),
                (da[:, -size:], self.chain.source_NH[tokens], whole[-size:]),
            ]
        for da_part, source, whole_part in parts:
            self.square[slot, row] += float((product(da_part, da_part.T) * product(source, source.T)).sum())
            self.dot[slot, row] += float((product(da_part, whole_part) * source).sum())

    def result(self) -> ChainLags:
        """Everything, groups side by side."""

        def joined(name: str) -> Array:
            parts = self.tables[name]
            return np.concatenate(parts, axis=1) if parts else np.empty((0, 0))

        return ChainLags(
            log_norm_LA=joined("log_norm"), direct_LA=joined("direct"), total_LA=joined("total"),
            cell_log_LA=joined("cell_log"), cell_cos_LA=joined("cell_cos"), input_log_LA=joined("input_log"),
            row_A=np.concatenate(self.row), at_A=np.concatenate(self.at), share_QCL=self.share, sum_QGI=self.sums,
            square_DR=self.square, dot_DR=self.dot, total_Nn=self.total, unit_LSn=np.concatenate(self.units, axis=1),
        )  # fmt: skip
