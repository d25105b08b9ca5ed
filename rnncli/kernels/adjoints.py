"""Adjoints of many losses walking back through one recurrent layer together, each with a scale of its own, in float64.

Dimension key: A adjoints, N tokens (each row's in the order that the chain reads them), G gates x H, n state size (LSTM:
h and c), L lags, Q blocks of parameters, D slots of lag sums, I input.

    delta_{t,k-1} = A_k^T delta_{t,k},   A_k = d s_k / d s_{k-1}
An adjoint is v 2^e: v is scaled by a power of two, exactly, so that its norm stays near 1 and 10^-412 stays 10^-412. The
cell's local derivatives come as arrays (inspection/local.py), so one walk serves every cell:

    simple       da = alpha dh                          dh' = W^T da
    LSTM         dc := dc + mix dh,  da_ifg = beta dc,  da_o = alpha dh,  dc' = keep dc,  dh' = W^T da
    GRU after    da = alpha dh                          dh' = keep dh + W_rz^T da_rz + W_n^T (reset da_n)
    GRU before   da_zn = alpha dh,  q = W_n^T da_n,  da_r = gate q,  dh' = keep dh + reset q + W_rz^T da_rz
"""

import math

import numpy as np

from rnncli.kernels._jit import kernel
from rnncli.kernels.matmul import add_product

SIMPLE, LSTM, GRU_AFTER, GRU_BEFORE = 0, 1, 2, 3
LN2 = math.log(2.0)


@kernel
def _norm(v):
    """|v| without over- or underflow of the squares for |v| between 1e-150 and 1e150."""
    total = 0.0
    for j in range(v.size):
        total += v[j] * v[j]
    return math.sqrt(total)


@kernel
def _log(norm, exponent):
    """Natural log of norm 2^exponent; -inf for zero."""
    return math.log(norm) + exponent * LN2 if norm > 0 else -np.inf


@kernel
def _rescale(v, exponent):
    """Scale v by a power of two so that its norm lies in [0.5, 1); returns (norm, new exponent)."""
    largest = 0.0
    for j in range(v.size):
        largest = max(largest, abs(v[j]))
    if largest == 0.0 or not math.isfinite(largest):
        return largest, exponent
    first = math.frexp(largest)[1]
    factor = math.ldexp(1.0, -first)
    for j in range(v.size):
        v[j] *= factor
    norm = _norm(v)
    second = math.frexp(norm)[1]
    factor = math.ldexp(1.0, -second)
    for j in range(v.size):
        v[j] *= factor
    return norm * factor, exponent + first + second


@kernel
def _inject(v, exponent, e, e_exponent):
    """v 2^exponent += e 2^e_exponent for the first e.size numbers; returns the exponent of the sum."""
    any_v, any_e = False, False
    for j in range(v.size):
        any_v = any_v or v[j] != 0.0
    for j in range(e.size):
        any_e = any_e or e[j] != 0.0
    if not any_e:
        return exponent
    if not any_v:
        for j in range(e.size):
            v[j] = e[j]
        return e_exponent
    top = max(exponent, e_exponent)
    own, other = math.ldexp(1.0, max(exponent - top, -2000)), math.ldexp(1.0, max(e_exponent - top, -2000))
    for j in range(v.size):
        v[j] *= own
    for j in range(e.size):
        v[j] += other * e[j]
    return top


@kernel
def _to_gates(form, da, dh, dc, alpha, beta, mix, keep):
    """da (G) of one adjoint from dh and dc; dc ends as the dc of the step before. GRU before: da_r is still missing."""
    size = dh.size
    if form == LSTM:
        for j in range(size):
            dc[j] += mix[j] * dh[j]
        for gate in range(3):
            for j in range(size):
                da[gate * size + j] = beta[gate * size + j] * dc[j]
        for j in range(size):
            da[3 * size + j] = alpha[3 * size + j] * dh[j]
            dc[j] *= keep[j]
    else:
        for gate in range(da.size // size):
            for j in range(size):
                da[gate * size + j] = alpha[gate * size + j] * dh[j]


@kernel
def walk_back(
    log_norm_P, direct_P, total_P, cell_log_P, cell_cos_P, input_log_P, dx_PI, dx_exp_P, share_QCL, sum_NDG, total_Nn,
    unit_LSn, form, alpha_NG, beta_NG, mix_NH, keep_NH, reset_NH, gate_NH, u_QNG, w_hh_GH, w_ih_GI, inject_XH, inject_exp_X,
    at_A, begin_A, base_A, shift_A, pair_A, inject_A, lag_at_A, inject_all, clocks, slot_L, lag_slot_L, sample_A,
):  # fmt: skip
    """Walk A adjoints back together; adjoint a belongs to a row whose token k lies at base_A[a] + k.

    Written   log_norm_P   log |delta_{t,k}| of pair pair_A[a] + k
              direct_P     log gain of the part of the step that no recurrent weight has touched: |D delta| / |delta| for
                           a simple cell, the path through keep for a gated one
              total_P      log gain of the whole step
              cell_log_P, cell_cos_P   log-norm of the adjoint that only takes the path through keep, and its cosine with
                           the whole one; gated cells, empty for others
              input_log_P  log |dL_t/dx_k|; dx_PI, dx_exp_P that vector itself and its exponent; empty where not wanted
              share_QCL    += da . u by block, gate and lag;   sum_NDG  += da by token and slot of lags
              total_Nn     += delta by token;   unit_LSn   sampled unit adjoints by lag slot
    Read      inject_XH 2^inject_exp_X: what comes from above, row inject_A[a] (+ k where inject_all); at_A first and
              begin_A last token that adjoint a visits; token k is visited at clock k + shift_A[a], clocks - 1 .. 0;
              lag_at_A the token that lags are counted from; slot_L, lag_slot_L slots of a lag (-1: none);
              sample_A the place of adjoint a in unit_LSn (-1: none). Adjoints are sorted by at + shift, descending.
    """
    count, gates = at_A.size, alpha_NG.shape[1]
    size = w_hh_GH.shape[1]
    states = total_Nn.shape[1]
    kinds = gates // size
    inputs = w_ih_GI.shape[1]
    v = np.zeros((count, states))
    exponent = np.zeros(count, np.int64)
    wants_cell, wants_input, wants_dx = cell_log_P.size > 0, input_log_P.size > 0, dx_PI.shape[0] > 0
    cell = np.zeros((count if wants_cell else 0, size))
    cell_exponent = np.zeros(count, np.int64)
    da, da_h = np.empty((count, gates)), np.empty((count, gates))
    before, dx = np.empty((count, size)), np.empty((count if wants_input else 0, inputs))
    norm = np.zeros(count)
    w_n = np.ascontiguousarray(w_hh_GH[gates - size :])
    w_rz = np.ascontiguousarray(w_hh_GH[: gates - size])
    zero = np.zeros(size)
    low, high = 0, 0
    for clock in range(clocks - 1, -1, -1):
        while high < count and at_A[high] + shift_A[high] >= clock:
            high += 1
        while (
            high > low and clock - shift_A[high - 1] < begin_A[high - 1] and at_A[high - 1] + shift_A[high - 1] > clock
        ):
            high -= 1
        while low < high and clock - shift_A[low] < begin_A[low]:
            low += 1
        if low >= high:
            continue
        for a in range(low, high):
            k = clock - shift_A[a]
            if k < begin_A[a]:
                v[a, :] = 0.0
                da[a, :] = 0.0
                continue
            n, pair = base_A[a] + k, pair_A[a] + k
            injected = inject_all or k == at_A[a]
            source = inject_A[a] + (k if inject_all else 0)
            if injected:
                exponent[a] = _inject(v[a], exponent[a], inject_XH[source], inject_exp_X[source])
            norm[a], exponent[a] = _rescale(v[a], exponent[a])
            log_norm_P[pair] = _log(norm[a], exponent[a])
            scale = math.ldexp(1.0, exponent[a]) if exponent[a] > -1070 else 0.0
            lag = abs(lag_at_A[a] - k)
            for j in range(states):
                total_Nn[n, j] += v[a, j] * scale
            if sample_A[a] >= 0 and lag_slot_L[lag] >= 0 and norm[a] > 0:
                for j in range(states):
                    unit_LSn[lag_slot_L[lag], sample_A[a], j] = v[a, j] / norm[a]
            dh, dc = v[a, :size], v[a, size:]
            if wants_cell:
                _walk_cell(
                    cell_log_P, cell_cos_P, pair, form, cell[a], cell_exponent, a, v[a], exponent[a], norm[a], size,
                    inject_XH[source] if injected else zero, inject_exp_X[source] if injected else 0, mix_NH[n], keep_NH[n],
                )  # fmt: skip
            _to_gates(form, da[a], dh, dc, alpha_NG[n], beta_NG[n], mix_NH[n], keep_NH[n])
        if form == GRU_BEFORE:
            _reset_before(before, da, w_n, low, high, clock, shift_A, base_A, begin_A, gate_NH, size)
        elif form == GRU_AFTER:
            for a in range(low, high):
                n = base_A[a] + clock - shift_A[a]
                if clock - shift_A[a] >= begin_A[a]:
                    for j in range(gates - size):
                        da_h[a, j] = da[a, j]
                    for j in range(size):
                        da_h[a, gates - size + j] = reset_NH[n, j] * da[a, gates - size + j]
                else:
                    da_h[a, :] = 0.0
            before[low:high, :] = 0.0
            add_product(before[low:high], da_h[low:high], w_hh_GH)
        else:
            before[low:high, :] = 0.0
            add_product(before[low:high], da[low:high], w_hh_GH)
        if form == GRU_BEFORE:
            for a in range(low, high):
                n = base_A[a] + max(clock - shift_A[a], 0)
                for j in range(size):
                    before[a, j] *= reset_NH[n, j]
                for j in range(gates - size):
                    da_h[a, j] = da[a, j]
            add_product(before[low:high], np.ascontiguousarray(da_h[low:high, : gates - size]), w_rz)
        if wants_input:
            dx[low:high, :] = 0.0
            add_product(dx[low:high], da[low:high], w_ih_GI)
        for a in range(low, high):
            k = clock - shift_A[a]
            if k < begin_A[a]:
                continue
            n, pair = base_A[a] + k, pair_A[a] + k
            lag = abs(lag_at_A[a] - k)
            scale = math.ldexp(1.0, exponent[a]) if exponent[a] > -1070 else 0.0
            for q in range(u_QNG.shape[0]):
                u = u_QNG[q, n]
                for gate in range(kinds):
                    dot = 0.0
                    for j in range(gate * size, (gate + 1) * size):
                        dot += da[a, j] * u[j]
                    share_QCL[q, gate, lag] += dot * scale
            if sum_NDG.shape[1] > 0 and slot_L[lag] >= 0:
                into = sum_NDG[n, slot_L[lag]]
                for j in range(gates):
                    into[j] += da[a, j] * scale
            if wants_input:
                input_log_P[pair] = _log(_norm(dx[a]), exponent[a])
                if wants_dx:
                    for j in range(inputs):
                        dx_PI[pair, j] = dx[a, j]
                    dx_exp_P[pair] = exponent[a]
            direct = _finish(form, v[a], before[a], da[a], keep_NH[n], size)
            after = _norm(v[a])
            direct_P[pair] = math.log(direct / norm[a]) if direct > 0 and norm[a] > 0 else -np.inf
            total_P[pair] = math.log(after / norm[a]) if after > 0 and norm[a] > 0 else -np.inf


@kernel
def _reset_before(before, da, w_n, low, high, clock, shift_A, base_A, begin_A, gate_NH, size):
    """q = W_n^T da_n into `before`, and da_r = gate q."""
    gates = da.shape[1]
    before[low:high, :] = 0.0
    add_product(before[low:high], np.ascontiguousarray(da[low:high, gates - size :]), w_n)
    for a in range(low, high):
        if clock - shift_A[a] >= begin_A[a]:
            n = base_A[a] + clock - shift_A[a]
            for j in range(size):
                da[a, j] = gate_NH[n, j] * before[a, j]


@kernel
def _finish(form, v, before, da, keep, size):
    """v becomes the adjoint of the step before; returns the norm of the part that no recurrent weight has touched."""
    if form == SIMPLE:
        direct = _norm(da)
        for j in range(size):
            v[j] = before[j]
    elif form == LSTM:
        direct = _norm(v[size:])
        for j in range(size):
            v[j] = before[j]
    else:
        for j in range(size):
            v[j] *= keep[j]
        direct = _norm(v)
        for j in range(size):
            v[j] += before[j]
    return direct


@kernel
def _walk_cell(
    cell_log_P, cell_cos_P, pair, form, cell, cell_exponent, a, v, exponent, norm, size, e, e_exponent, mix, keep
):  # fmt: skip
    """One step of the adjoint that takes the path through keep only: log-norm, cosine with the whole adjoint, step."""
    if form == LSTM:  # its h part is what was injected here, its c part what came along the cell
        log_e, log_c = _log(_norm(e), e_exponent), _log(_norm(cell), cell_exponent[a])
        top = max(log_e, log_c)
        if top == -np.inf or norm == 0.0:
            cell_log_P[pair], cell_cos_P[pair] = -np.inf, 0.0
        else:
            share_e, share_c = math.exp(log_e - top), math.exp(log_c - top)
            length = math.sqrt(share_e * share_e + share_c * share_c)
            dot, norm_e, norm_c = 0.0, _norm(e), _norm(cell)
            for j in range(size):
                if norm_e > 0:
                    dot += e[j] / norm_e * share_e * v[j]
                if norm_c > 0:
                    dot += cell[j] / norm_c * share_c * v[size + j]
            cell_log_P[pair], cell_cos_P[pair] = top + math.log(length), dot / (length * norm)
        scaled = np.empty(size)
        for j in range(size):
            scaled[j] = mix[j] * e[j]
        cell_exponent[a] = _inject(cell, cell_exponent[a], scaled, e_exponent)
    else:
        cell_exponent[a] = _inject(cell, cell_exponent[a], e, e_exponent)
        own = _norm(cell)
        cell_log_P[pair] = _log(own, cell_exponent[a])
        dot = 0.0
        for j in range(size):
            dot += cell[j] * v[j]
        cell_cos_P[pair] = dot / (own * norm) if own > 0 and norm > 0 else 0.0
    for j in range(size):
        cell[j] *= keep[j]
    cell_exponent[a] = _rescale(cell, cell_exponent[a])[1]
