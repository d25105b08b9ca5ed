"""The lag matrix (M6): every loss's adjoint at every earlier step, exactly, and all that is read off on the way.

Dimension key: T steps of a row, A adjoints (one for each read-out of a row), L lags, Q blocks of parameters, C gates, G gates
x H, D slots of lags, N tokens of the probe, n state size.

    delta_{t,k} = P(t,k)^T e_t = dL_t / ds_k,   P(t,k) = A_t ... A_{k+1},   lag l = t - k
A read-out is a step whose state a loss reads directly: every step of a tagger or language model, the last one of a
classifier that reads its last state, all of them under mean pooling. Rows are walked in groups, each group by one thread
from first to last, so that the numbers do not depend on how many threads there are.
"""

from collections.abc import Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from rnncli.inspection.local import Array
from rnncli.inspection.rollout import BLOCKS, Chain, Ints, Rollout
from rnncli.kernels import adjoints as kernels
from rnncli.kernels.matmul import add_product, add_product_of_transpose

GROUP_ADJOINTS = 32  # adjoints that walk together where rows have one read-out each: a wider product is a faster one
SAMPLES = 512  # unit adjoints kept of each sampled lag
EMBEDDING = "embedding"


@dataclass(frozen=True)
class WalkSettings:
    """What is measured on the way. `window` (steps, stride) counts only pairs inside one window of truncated BPTT."""

    max_lag: int | None = None
    window: tuple[int, int] | None = None
    last_only: bool = False  # only the last read-out of each row
    sums: bool = True  # sums of da by slot of lags, for truncation bias
    input_rows: Container[int] = ()  # rows whose |dL_t / dx_k| is wanted
    noise: bool = False  # squares of each row's gradients by slot of lags
    sample_lags: tuple[int, ...] = ()
    threads: int = 1


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
    square_D: Array  # sum over rows of |G_slot of the row|^2, of W_hh; zeros where noise is not wanted
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
class _Group:
    """Adjoints of some rows that walk together."""

    rows: Ints  # row numbers of the probe
    row_A: Ints
    step_A: Ints  # natural step of the read-out
    first: int  # token bounds of the rows, which need not be neighbours
    tokens: Ints  # probe tokens, row after row
    base_R: Ints  # where each row begins in `tokens`


def is_partial(rollout: Rollout, settings: WalkSettings) -> bool:
    """Whether pairs of steps are left out on purpose, so that their sum is not the gradient that training uses."""
    each = rollout.network.spec.each
    return settings.max_lag is not None or settings.window is not None or (settings.last_only and each)


def walk(rollout: Rollout, settings: WalkSettings) -> list[ChainLags]:
    """Walk all adjoints back through all layers; one result for each chain of rollout.chains.

    Where pairs are left out, shares are those of the sum of what is left: a first walk finds it.
    """
    if is_partial(rollout, settings):
        first = replace(settings, sums=True, input_rows=(), sample_lags=(), noise=False)
        parts = iter(_walk_all(rollout, first))
        layers = [
            [replace(chain, gradients=_summed(chain, next(parts))) for chain in chains] for chains in rollout.layers
        ]
        rollout = replace(rollout, layers=layers, embedding_NI=None)
    return _walk_all(rollout, settings)


def _summed(chain: Chain, lags: ChainLags) -> dict[str, Array]:
    """The gradients that the walked pairs make together."""
    return {name: lags.sum_QGI[name].sum(axis=0) for name in chain.gradients}


def _walk_all(rollout: Rollout, settings: WalkSettings) -> list[ChainLags]:
    groups = list(_groups(rollout, settings))
    longest = int(rollout.lengths.max())
    slots = lag_slots(longest)
    collected = [_Collector(rollout, chain, longest, slots, settings) for chain in rollout.chains]
    with ThreadPoolExecutor(max(1, settings.threads)) as pool:
        pending: list[
            Future[tuple[_Group, list[_Walked]]]
        ] = []  # as many groups ahead as there are threads: memory stays bounded
        for group in groups:
            pending.append(pool.submit(_walk_group, rollout, group, slots, settings))
            if len(pending) > settings.threads:
                _collect(collected, rollout, pending.pop(0).result())
        for future in pending:
            _collect(collected, rollout, future.result())
    return [collector.result() for collector in collected]


def _collect(collected: "list[_Collector]", rollout: Rollout, part: "tuple[_Group, list[_Walked]]") -> None:
    group, walked = part
    for collector, one in zip(collected, walked, strict=True):
        collector.add(group, one)


def _groups(rollout: Rollout, settings: WalkSettings) -> Iterator[_Group]:
    """Rows with one read-out in groups, longest first; rows with several by themselves."""
    reads = np.abs(rollout.direct_NO).max(axis=1) > 0
    steps = []
    for a, b in pairwise(rollout.offsets):
        found = np.flatnonzero(reads[a:b])
        if found.size == 0:
            found = np.array([b - a - 1])  # no gradient at all: it is measured as such
        steps.append(found[-1:] if settings.last_only and rollout.network.spec.each else found)
    single = [r for r in np.argsort(-rollout.lengths, kind="stable") if len(steps[r]) == 1]
    chunks = [single[i : i + GROUP_ADJOINTS] for i in range(0, len(single), GROUP_ADJOINTS)]
    chunks += [[r] for r in range(len(steps)) if len(steps[r]) > 1]
    for rows in chunks:
        bounds = [(rollout.offsets[r], rollout.offsets[r + 1]) for r in rows]
        tokens = np.concatenate([np.arange(a, b) for a, b in bounds])
        base = np.append(0, np.cumsum([b - a for a, b in bounds]))[:-1].astype(np.int64)
        yield _Group(
            np.array(rows, np.int64), np.concatenate([np.full(len(steps[r]), i) for i, r in enumerate(rows)]),
            np.concatenate([steps[r] for r in rows]).astype(np.int64), int(tokens[0]), tokens, base,
        )  # fmt: skip


@dataclass(frozen=True)
class _Walked:
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


def _walk_group(rollout: Rollout, group: _Group, slots: Ints, settings: WalkSettings) -> tuple[_Group, list[_Walked]]:
    """All layers of one group, top to bottom; results in the order of rollout.chains."""
    lengths_A = rollout.lengths[group.rows][group.row_A]
    pair_A = np.append(0, np.cumsum(lengths_A))[:-1].astype(np.int64)
    done: list[list[_Walked]] = []
    top = len(rollout.layers) - 1
    above: list[tuple[Array, Ints]] = []  # for each direction of the layer in turn: what comes from above, by pair
    for layer in range(top, -1, -1):
        walked = []
        for number, chain in enumerate(rollout.layers[layer]):
            if layer == top:
                size = chain.hidden
                inject = rollout.direct_NO[group.tokens[group.base_R[group.row_A] + group.step_A]]
                inject = np.ascontiguousarray(inject[:, number * size : (number + 1) * size])
                source = (inject, np.zeros(len(inject), np.int64))
            else:
                source = above[number]
            walked.append(_walk_chain(rollout, group, chain, layer, source, lengths_A, pair_A, slots, settings))
        done.insert(0, walked)
        if layer:
            above = _from_above(walked, rollout.layers[layer - 1][0].hidden, lengths_A, pair_A)
    return group, [one for walked in done for one in walked]


def _from_above(walked: list[_Walked], size: int, lengths_A: Ints, pair_A: Ints) -> list[tuple[Array, Ints]]:
    """dL_t/dx of a layer, summed over its directions, as what the directions beneath are given (own time)."""
    mirror = np.repeat(2 * pair_A + lengths_A - 1, lengths_A) - np.arange(int(lengths_A.sum()))
    dx, exponent = walked[0].dx_PI, walked[0].dx_exp_P
    if len(walked) == 1:
        return [(dx, exponent)]
    other, other_exponent = walked[1].dx_PI[mirror], walked[1].dx_exp_P[mirror]
    empty, other_empty = ~dx.any(axis=1), ~other.any(axis=1)
    common = np.maximum(np.where(empty, other_exponent, exponent), np.where(other_empty, exponent, other_exponent))
    dx = np.ldexp(dx, np.maximum(exponent - common, -2000)[:, None])
    dx += np.ldexp(other, np.maximum(other_exponent - common, -2000)[:, None])
    backward = np.ascontiguousarray(dx[mirror][:, size:])
    return [(np.ascontiguousarray(dx[:, :size]), common), (backward, common[mirror])]


def _walk_chain(
    rollout: Rollout,
    group: _Group,
    chain: Chain,
    layer: int,
    source: tuple[Array, Ints],
    lengths_A: Ints,
    pair_A: Ints,
    slots: Ints,
    settings: WalkSettings,
) -> _Walked:
    """Call the kernel for one chain and the adjoints of one group."""
    own, local = group.tokens, chain.local
    n = own.size
    at_A = lengths_A - 1 - group.step_A if chain.place.reverse else group.step_A
    is_top = layer == len(rollout.layers) - 1
    everywhere = not is_top
    first_A = lengths_A - 1 if everywhere and len(rollout.layers[layer]) > 1 else at_A
    lowest = np.zeros(at_A.size, np.int64)
    if settings.max_lag is not None:
        lowest = np.maximum(lowest, at_A - settings.max_lag)
    if settings.window is not None:
        lowest = np.maximum(lowest, window_begins(at_A, *settings.window))
    longest = int(rollout.lengths.max())
    clocks = int(lengths_A.max())
    shift_A = clocks - lengths_A
    order = np.argsort(-(first_A + shift_A), kind="stable")
    pairs = int(lengths_A.sum())
    blank = np.full(pairs, np.nan)
    gated = local.form != kernels.SIMPLE
    wants_dx = layer > 0
    wants_input = wants_dx or (layer == 0 and any(int(r) in settings.input_rows for r in group.rows))
    several = bool(np.any(np.bincount(group.row_A) > 1))
    slot_L = np.full(longest, -1, np.int64)
    if settings.sums:
        slot_L = (
            np.searchsorted(slots, np.arange(longest), side="right").astype(np.int64) - 1 if several else slot_L * 0
        )
    depth = 0 if not settings.sums else (slots.size - 1 if several else 1)
    lag_slot = np.full(longest, -1, np.int64)
    for i, lag in enumerate(settings.sample_lags):
        if lag < longest:
            lag_slot[lag] = i
    sample_A = _samples(rollout, group, settings)
    inject, inject_exp = source
    u_QNG = directions(rollout, chain, own)
    inputs = chain.x_NI.shape[1]
    out = _Walked(
        blank.copy(), blank.copy(), blank.copy(), blank.copy() if gated else np.empty(0),
        blank.copy() if gated else np.empty(0), blank.copy() if wants_input else np.empty(0),
        np.zeros((pairs if wants_dx else 0, inputs)), np.zeros(pairs if wants_dx else 0, np.int64),
        np.zeros((u_QNG.shape[0], chain.w_hh_GH.shape[0] // chain.hidden, longest)),
        np.zeros((n, depth, chain.w_hh_GH.shape[0])), np.zeros((n, chain.state_size)),
        np.zeros((len(settings.sample_lags), int(sample_A.max(initial=-1)) + 1, chain.state_size)), at_A, pair_A,
    )  # fmt: skip
    kernels.walk_back(
        out.log_norm_P, out.direct_P, out.total_P, out.cell_log_P, out.cell_cos_P, out.input_log_P, out.dx_PI, out.dx_exp_P,
        out.share_QCL, out.sum_NDG, out.total_Nn, out.unit_LSn, local.form, local.alpha_NG[own], local.beta_NG[own],
        local.mix_NH[own], local.keep_NH[own], local.reset_NH[own], local.gate_NH[own], u_QNG, chain.w_hh_GH, chain.w_ih_GI,
        inject, inject_exp, first_A[order], lowest[order], group.base_R[group.row_A][order], shift_A[order], pair_A[order],
        (pair_A if everywhere else np.arange(at_A.size))[order], at_A[order], everywhere, clocks, slot_L, lag_slot,
        sample_A[order],
    )  # fmt: skip
    return out


def window_begins(at_A: Ints, steps: int, stride: int) -> Ints:
    """First step that a loss at step t reaches in training with truncated BPTT (rnn/truncation.py: windows)."""
    counted = at_A // stride * stride
    return np.maximum(0, counted + stride - steps)


def directions(rollout: Rollout, chain: Chain, own: Ints) -> Array:
    """u (Q, N, G) with <G_l, G> = sum of da . u: u = G h for W_hh, G x for W_ih, G for b, W_ih times its gradient for x."""
    g, size = chain.gradients, chain.hidden
    n = own.size
    u_hh = _product(chain.h_before_NH[own], g["W_hh"].T)
    if chain.local.form == kernels.GRU_AFTER:
        u_hh[:, -size:] *= chain.local.reset_NH[own]
    elif chain.local.form == kernels.GRU_BEFORE:
        u_hh[:, -size:] = _product(chain.source_NH[own], g["W_hh"][-size:].T)
    u_b = np.tile(g["b"], (n, 1))
    if "b_hn" in g:
        reset = chain.local.reset_NH[own] if chain.local.form == kernels.GRU_AFTER else 1.0
        u_b[:, -size:] += reset * g["b_hn"]
    blocks = [u_hh, _product(chain.x_NI[own], g["W_ih"].T), u_b]
    if has_embedding(rollout, chain):
        assert rollout.embedding_NI is not None
        at = rollout.flip_N[own] if chain.place.reverse else own
        wide = np.zeros((n, chain.x_NI.shape[1]))
        wide[:, : rollout.embedding_NI.shape[1]] = rollout.embedding_NI[at]
        blocks.append(_product(wide, chain.w_ih_GI.T))
    return np.array(blocks)


def has_embedding(rollout: Rollout, chain: Chain) -> bool:
    """Whether shares of the embedding's update are measured on this chain."""
    return chain.place.layer == 0 and rollout.embedding_NI is not None


def _product(a: Array, b: Array) -> Array:
    out = np.zeros((a.shape[0], b.shape[1]))
    add_product(out, np.ascontiguousarray(a), np.ascontiguousarray(b))
    return out


def _samples(rollout: Rollout, group: _Group, settings: WalkSettings) -> Ints:
    """Which adjoints of a group are sampled, and their places: evenly spread, about SAMPLES of all rows together."""
    if not settings.sample_lags:
        return np.full(group.row_A.size, -1, np.int64)
    wanted = max(1, -(-SAMPLES * group.rows.size // rollout.lengths.size))
    chosen = np.unique(np.linspace(0, group.row_A.size - 1, min(wanted, group.row_A.size)).astype(np.int64))
    places = np.full(group.row_A.size, -1, np.int64)
    places[chosen] = np.arange(chosen.size)
    return places


class _Collector:
    """Joins the groups of one chain."""

    def __init__(self, rollout: Rollout, chain: Chain, longest: int, slots: Ints, settings: WalkSettings) -> None:
        self.rollout, self.chain, self.longest, self.slots = rollout, chain, longest, slots
        self.tables: dict[str, list[Array]] = {
            name: [] for name in ("log_norm", "direct", "total", "cell_log", "cell_cos", "input_log")
        }
        self.row, self.at, self.units = [], [], []  # type: ignore[var-annotated]
        kinds = chain.w_hh_GH.shape[0] // chain.hidden
        blocks = len(BLOCKS) + int(has_embedding(rollout, chain))
        self.share = np.zeros((blocks, kinds, longest))
        self.total = np.zeros((rollout.offsets[-1], chain.state_size))
        depth = slots.size - 1 if settings.sums else 0
        shapes = {"W_hh": chain.w_hh_GH.shape, "W_ih": chain.w_ih_GI.shape, "b": (chain.w_hh_GH.shape[0],)}
        if "b_hn" in chain.gradients:
            shapes["b_hn"] = (chain.hidden,)
        self.sums = {name: np.zeros((depth, *shape)) for name, shape in shapes.items()}
        self.square, self.noise = np.zeros(depth), settings.noise

    def add(self, group: _Group, walked: _Walked) -> None:
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
                if self.noise:
                    self.square[slot] += self._square(group.tokens, walked.sum_NDG[:, slot])
        elif depth == 1:
            step = np.arange(group.tokens.size) - np.repeat(group.base_R, self.rollout.lengths[group.rows])
            at_R = np.zeros(group.rows.size, np.int64)
            at_R[group.row_A] = walked.at_A
            lag_N = np.abs(np.repeat(at_R, self.rollout.lengths[group.rows]) - step)
            slot_N = np.searchsorted(self.slots, lag_N, side="right") - 1
            for slot in np.unique(slot_N):
                chosen = np.flatnonzero(slot_N == slot)
                self._add_sums(int(slot), group.tokens[chosen], walked.sum_NDG[chosen, 0])
                if self.noise:
                    row = np.repeat(np.arange(group.rows.size), self.rollout.lengths[group.rows])[chosen]
                    for r in np.unique(row):
                        own = chosen[row == r]
                        self.square[slot] += self._square(group.tokens[own], walked.sum_NDG[own, 0])

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

    def _square(self, tokens: Ints, da_NG: Array) -> float:
        """|sum_k da_k h_k^T|^2 of one row, by Gram matrices: no H x H array for each row."""
        used = np.flatnonzero(da_NG.any(axis=1))
        da, tokens, size = da_NG[used], tokens[used], self.chain.hidden
        form, local = self.chain.local.form, self.chain.local
        if form == kernels.GRU_AFTER:
            da = np.concatenate([da[:, :-size], da[:, -size:] * local.reset_NH[tokens]], axis=1)
        h, source = self.chain.h_before_NH[tokens], self.chain.source_NH[tokens]
        if form != kernels.GRU_BEFORE:
            return float((_product(da, da.T) * _product(h, h.T)).sum())
        first, last = da[:, :-size], da[:, -size:]
        return float(
            (_product(first, first.T) * _product(h, h.T) + _product(last, last.T) * _product(source, source.T)).sum()
        )

    def result(self) -> ChainLags:
        """Everything, groups side by side."""

        def joined(name: str) -> Array:
            parts = self.tables[name]
            return np.concatenate(parts, axis=1) if parts else np.empty((0, 0))

        return ChainLags(
            log_norm_LA=joined("log_norm"), direct_LA=joined("direct"), total_LA=joined("total"),
            cell_log_LA=joined("cell_log"), cell_cos_LA=joined("cell_cos"), input_log_LA=joined("input_log"),
            row_A=np.concatenate(self.row), at_A=np.concatenate(self.at), share_QCL=self.share, sum_QGI=self.sums,
            square_D=self.square, total_Nn=self.total, unit_LSn=np.concatenate(self.units, axis=1),
        )  # fmt: skip
