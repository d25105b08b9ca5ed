"""The lag matrix (M6): every loss's adjoint at every earlier step, exactly, and all that is read off on the way.

Dimension key: T steps of a row, A adjoints (one for each read-out of a row), L lags, Q blocks of parameters, C gates, G gates
x H, D slots of lags, N tokens of the probe, n state size.

    delta_{t,k} = P(t,k)^T e_t = dL_t / ds_k,   P(t,k) = A_t ... A_{k+1},   lag l = t - k
A read-out is a step whose state a loss reads directly: every step of a tagger or language model, the last one of a
classifier that reads its last state, all of them under mean pooling. Rows are walked in groups, each group by one thread
from first to last, so that the numbers do not depend on how many threads there are.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from rnncli.inspection.lag_collector import ChainLags, Collector, Group, Walked, has_embedding, lag_slots, product
from rnncli.inspection.local import Array
from rnncli.inspection.rollout import Chain, Ints, Rollout
from rnncli.kernels import adjoints as kernels

GROUP_ADJOINTS = 32  # adjoints that walk together where rows have one read-out each: a wider product is a faster one
SAMPLES = 512  # unit adjoints kept of each sampled lag


@dataclass(frozen=True)
class WalkSettings:
    """What is measured on the way. `window` (steps, stride) counts only pairs inside one window of truncated BPTT."""

    max_lag: int | None = None
    window: tuple[int, int] | None = None
    last_only: bool = False  # only the last read-out of each row
    sums: bool = True  # sums of da by slot of lags, for truncation bias
    inputs: bool = False  # |dL_t / dx_k| too
    noise: bool = False  # each row's gradients against those of all, by slot of lags; needs sums
    sample_lags: tuple[int, ...] = ()
    threads: int = 1


def is_partial(rollout: Rollout, settings: WalkSettings) -> bool:
    """Whether pairs of steps are left out on purpose, so that their sum is not the gradient that training uses."""
    each = rollout.network.spec.each
    return settings.max_lag is not None or settings.window is not None or (settings.last_only and each)


def walk(rollout: Rollout, settings: WalkSettings) -> list[ChainLags]:
    """Walk all adjoints back through all layers; one result for each chain of rollout.chains.

    Where pairs are left out, shares are those of the sum of what is left; that, and what each row is compared with where
    noise is measured, is found by a first walk.
    """
    partial = is_partial(rollout, settings)
    if not (partial or settings.noise):
        return _walk_all(rollout, settings, None)
    parts = _walk_all(rollout, replace(settings, sums=True, inputs=False, sample_lags=()), None)
    if partial:
        of = iter(parts)
        layers = [[replace(chain, gradients=_summed(chain, next(of))) for chain in chains] for chains in rollout.layers]
        rollout = replace(rollout, layers=layers, embedding_NI=None)
    return _walk_all(rollout, settings, [part.sum_QGI["W_hh"] for part in parts] if settings.noise else None)


def _summed(chain: Chain, lags: ChainLags) -> dict[str, Array]:
    """The gradients that the walked pairs make together."""
    return {name: lags.sum_QGI[name].sum(axis=0) for name in chain.gradients}


def _walk_all(rollout: Rollout, settings: WalkSettings, all_CDGH: list[Array] | None) -> list[ChainLags]:
    groups = list(_groups(rollout, settings))
    longest = int(rollout.lengths.max())
    slots = lag_slots(longest)
    collected = [
        Collector(rollout, chain, longest, slots, settings.sums, all_CDGH[c] if all_CDGH is not None else None)
        for c, chain in enumerate(rollout.chains)
    ]
    with ThreadPoolExecutor(max(1, settings.threads)) as pool:
        pending: list[
            Future[tuple[Group, list[Walked]]]
        ] = []  # as many groups ahead as there are threads: memory stays bounded
        for group in groups:
            pending.append(pool.submit(_walk_group, rollout, group, slots, settings))
            if len(pending) > settings.threads:
                _collect(collected, rollout, pending.pop(0).result())
        for future in pending:
            _collect(collected, rollout, future.result())
    return [collector.result() for collector in collected]


def _collect(collected: "list[Collector]", rollout: Rollout, part: "tuple[Group, list[Walked]]") -> None:
    group, walked = part
    for collector, one in zip(collected, walked, strict=True):
        collector.add(group, one)


def _groups(rollout: Rollout, settings: WalkSettings) -> Iterator[Group]:
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
        yield Group(
            np.array(rows, np.int64), np.concatenate([np.full(len(steps[r]), i) for i, r in enumerate(rows)]),
            np.concatenate([steps[r] for r in rows]).astype(np.int64), int(tokens[0]), tokens, base,
        )  # fmt: skip


def _walk_group(rollout: Rollout, group: Group, slots: Ints, settings: WalkSettings) -> tuple[Group, list[Walked]]:
    """All layers of one group, top to bottom; results in the order of rollout.chains."""
    lengths_A = rollout.lengths[group.rows][group.row_A]
    pair_A = np.append(0, np.cumsum(lengths_A))[:-1].astype(np.int64)
    done: list[list[Walked]] = []
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


def _from_above(walked: list[Walked], size: int, lengths_A: Ints, pair_A: Ints) -> list[tuple[Array, Ints]]:
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
    group: Group,
    chain: Chain,
    layer: int,
    source: tuple[Array, Ints],
    lengths_A: Ints,
    pair_A: Ints,
    slots: Ints,
    settings: WalkSettings,
) -> Walked:
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
    wants_input = wants_dx or settings.inputs
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
    out = Walked(
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
    u_hh = product(chain.h_before_NH[own], g["W_hh"].T)
    if chain.local.form == kernels.GRU_AFTER:
        u_hh[:, -size:] *= chain.local.reset_NH[own]
    elif chain.local.form == kernels.GRU_BEFORE:
        u_hh[:, -size:] = product(chain.source_NH[own], g["W_hh"][-size:].T)
    u_b = np.tile(g["b"], (n, 1))
    if "b_hn" in g:
        reset = chain.local.reset_NH[own] if chain.local.form == kernels.GRU_AFTER else 1.0
        u_b[:, -size:] += reset * g["b_hn"]
    blocks = [u_hh, product(chain.x_NI[own], g["W_ih"].T), u_b]
    if has_embedding(rollout, chain):
        assert rollout.embedding_NI is not None
        at = rollout.flip_N[own] if chain.place.reverse else own
        wide = np.zeros((n, chain.x_NI.shape[1]))
        wide[:, : rollout.embedding_NI.shape[1]] = rollout.embedding_NI[at]
        blocks.append(product(wide, chain.w_ih_GI.T))
    return np.array(blocks)


def _samples(rollout: Rollout, group: Group, settings: WalkSettings) -> Ints:
    """Which adjoints of a group are sampled, and their places: evenly spread, about SAMPLES of all rows together."""
    if not settings.sample_lags:
        return np.full(group.row_A.size, -1, np.int64)
    wanted = max(1, -(-SAMPLES * group.rows.size // rollout.lengths.size))
    chosen = np.unique(np.linspace(0, group.row_A.size - 1, min(wanted, group.row_A.size)).astype(np.int64))
    places = np.full(group.row_A.size, -1, np.int64)
    places[chosen] = np.arange(chosen.size)
    return places
