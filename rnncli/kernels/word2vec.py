"""Skip-gram with negative sampling: one centre word against its window, in synchronous rounds or lock-free.

Dimension key: V words, D padded vector length (a multiple of 16), K negatives, M private rows, S shards, T tokens of a shard,
Q noise words of a pool.

For a centre word with output vector o_0, noise words o_1..o_K and every context word with input vector v (Mikolov et al.
2013, "Distributed representations of words and phrases", eq. 4; roles as in the authors' program, the context predicts
the centre):

    L = -log s(v.o_0) - sum_k log s(-v.o_k),   s(x) = 1 / (1 + e^-x)
    g_0 = lr (1 - s(v.o_0)),  g_k = -lr s(v.o_k),   v += sum_k g_k o_k,   o_k += g_k v

The noise words are shared by all contexts of a centre (Ji et al. 2016, "Parallelizing word2vec in shared and distributed
memory"), and two contexts meet six outputs at a time: twelve dot products, then one pass that updates all eight rows.
Plain loops would be bound by loads and stores.
"""

import math

import numpy as np

from rnncli.kernels import scalar
from rnncli.kernels._jit import kernel, parallel_kernel, prange, relaxed_kernel

_exp, _hash, _uniform = scalar.exp, scalar.counter_hash, scalar.uniform_of
BLOCK = 6  # outputs that meet two contexts at a time: the centre and five noise words
ONE = np.float32(1.0)
SMALLEST_PRODUCT = 1e-200  # probabilities are multiplied up to here before one logarithm is taken


@relaxed_kernel
def _dots(f, first, v0, v1, o0, o1, o2, o3, o4, o5):
    """f[first + k] = v0.o_k, f[first + 6 + k] = v1.o_k."""
    a0 = a1 = a2 = a3 = a4 = a5 = np.float32(0.0)
    b0 = b1 = b2 = b3 = b4 = b5 = np.float32(0.0)
    for j in range(v0.size):
        x, y = v0[j], v1[j]
        a0 += x * o0[j]
        b0 += y * o0[j]
        a1 += x * o1[j]
        b1 += y * o1[j]
        a2 += x * o2[j]
        b2 += y * o2[j]
        a3 += x * o3[j]
        b3 += y * o3[j]
        a4 += x * o4[j]
        b4 += y * o4[j]
        a5 += x * o5[j]
        b5 += y * o5[j]
    f[first], f[first + 1], f[first + 2], f[first + 3], f[first + 4], f[first + 5] = a0, a1, a2, a3, a4, a5
    f[first + 6], f[first + 7], f[first + 8], f[first + 9], f[first + 10], f[first + 11] = b0, b1, b2, b3, b4, b5


@relaxed_kernel
def _update(g, first, v0, v1, o0, o1, o2, o3, o4, o5):
    """v_i += sum_k g_ik o_k and o_k += sum_i g_ik v_i, both with the old values; the eight rows are distinct."""
    a0, a1, a2, a3, a4, a5 = g[first], g[first + 1], g[first + 2], g[first + 3], g[first + 4], g[first + 5]
    b0, b1, b2, b3, b4, b5 = g[first + 6], g[first + 7], g[first + 8], g[first + 9], g[first + 10], g[first + 11]
    for j in range(v0.size):
        x, y = v0[j], v1[j]
        p0, p1, p2, p3, p4, p5 = o0[j], o1[j], o2[j], o3[j], o4[j], o5[j]
        v0[j] = x + a0 * p0 + a1 * p1 + a2 * p2 + a3 * p3 + a4 * p4 + a5 * p5
        v1[j] = y + b0 * p0 + b1 * p1 + b2 * p2 + b3 * p3 + b4 * p4 + b5 * p5
        o0[j] = p0 + a0 * x + b0 * y
        o1[j] = p1 + a1 * x + b1 * y
        o2[j] = p2 + a2 * x + b2 * y
        o3[j] = p3 + a3 * x + b3 * y
        o4[j] = p4 + a4 * x + b4 * y
        o5[j] = p5 + a5 * x + b5 * y


@relaxed_kernel
def _gradients(f, sign, lr):
    """f[k] <- lr sign_k (1 - s(sign_k f_k)); returns the product of the probabilities s(sign_k f_k) of the real pairs."""
    product = 1.0
    for k in range(f.size):
        probability = ONE / (ONE + _exp(-sign[k] * f[k]))
        f[k] = lr * sign[k] * (ONE - probability)
        product *= np.float64(probability) if sign[k] != 0 else 1.0
    return product


@kernel
def _choose_noise(outputs, centre, pool_Q, start, negative, first_pad):
    """outputs = centre, then the first `negative` words of the pool from `start` on that differ; the rest are pads."""
    outputs[0] = centre
    chosen = 1
    for i in range(pool_Q.size):
        if chosen > negative:
            break
        word = pool_Q[(start + i) % pool_Q.size]
        fresh = True
        for k in range(chosen):
            if outputs[k] == word:
                fresh = False
        if fresh:
            outputs[chosen] = word
            chosen += 1
    for k in range(chosen, outputs.size):
        outputs[k] = first_pad + k % BLOCK
    return chosen


@kernel
def _two_contexts(in_MD, out_MD, c0, c1, outputs, f, sign, lr):
    """Meet contexts c0 and c1 with all outputs, in blocks of six; returns the product of probabilities."""
    v0, v1 = in_MD[c0], in_MD[c1]
    for k in range(0, outputs.size, BLOCK):
        o = outputs[k : k + BLOCK]
        rows = (out_MD[o[0]], out_MD[o[1]], out_MD[o[2]], out_MD[o[3]], out_MD[o[4]], out_MD[o[5]])
        _dots(f, 2 * k, v0, v1, rows[0], rows[1], rows[2], rows[3], rows[4], rows[5])
    product = _gradients(f, sign, lr)
    for k in range(0, outputs.size, BLOCK):
        o = outputs[k : k + BLOCK]
        rows = (out_MD[o[0]], out_MD[o[1]], out_MD[o[2]], out_MD[o[3]], out_MD[o[4]], out_MD[o[5]])
        _update(f, 2 * k, v0, v1, rows[0], rows[1], rows[2], rows[3], rows[4], rows[5])
    return product


@kernel
def _fill_signs(sign, chosen, outputs, both):
    """+1 for the centre, -1 for noise, 0 for pads (and for the second context unless `both`), in the layout of f."""
    for k in range(outputs):
        value = np.float32(0.0) if k >= chosen else (ONE if k == 0 else -ONE)
        at = 2 * (k - k % BLOCK) + k % BLOCK
        sign[at] = value
        sign[at + BLOCK] = value if both else np.float32(0.0)


@kernel
def train_centres(
    in_MD, out_MD, inputs_T, outputs_T, position_T, line_T, first, last, pool_Q, window, negative, lr, keys
):
    """Train on the kept tokens first .. last-1 as centres, against the window of 1..`window` kept tokens around each.

    Shapes   in_MD, out_MD (M, D) float32, in and out, the last six rows of each are zero pads; inputs_T, outputs_T (T,)
             int32: rows of each kept token; position_T (T,) int64 in the corpus; line_T (T,) int32: windows stay in a
             line; pool_Q (Q,) int32 rows of noise words; keys (2,) uint64 for window and noise; lr float32.
    Returns  (sum of -log probabilities in nats, number of centre-context pairs).
    """
    width = (negative + BLOCK) // BLOCK * BLOCK
    outputs, f = np.empty(width, np.int32), np.empty(2 * width, np.float32)
    sign_both, sign_one = np.empty(2 * width, np.float32), np.empty(2 * width, np.float32)
    contexts = np.empty(2 * window, np.int32)
    pad_in, pad_out = in_MD.shape[0] - BLOCK, out_MD.shape[0] - BLOCK
    loss, product, pairs, signs_for = 0.0, 1.0, 0, -1
    for t in range(first, last):
        radius = 1 + np.int64(_hash(keys[0], position_T[t]) % np.uint64(window))
        n = 0
        for u in range(max(0, t - radius), min(inputs_T.size, t + radius + 1)):
            if u != t and line_T[u] == line_T[t]:
                contexts[n] = inputs_T[u]
                n += 1
        if n == 0:
            continue
        start = np.int64(_hash(keys[1], position_T[t]) % np.uint64(pool_Q.size))
        chosen = _choose_noise(outputs, outputs_T[t], pool_Q, start, negative, pad_out)
        if chosen != signs_for:
            _fill_signs(sign_both, chosen, width, True)
            _fill_signs(sign_one, chosen, width, False)
            signs_for = chosen
        i = 0
        while i < n:
            if i + 1 < n and contexts[i] != contexts[i + 1]:
                product *= _two_contexts(in_MD, out_MD, contexts[i], contexts[i + 1], outputs, f, sign_both, lr)
                i += 2
            else:
                product *= _two_contexts(in_MD, out_MD, contexts[i], pad_in, outputs, f, sign_one, lr)
                i += 1
            if product < SMALLEST_PRODUCT:
                loss -= math.log(max(product, 1e-307))
                product = 1.0
        pairs += n
    return loss - math.log(product), pairs


@kernel
def _keeps(word, position, keep_V, key):
    """Whether a token survives sub-sampling: 32 random bits of its position against the word's threshold."""
    return (_hash(key, position) >> np.uint64(32)) <= np.uint64(keep_V[word])


@kernel
def _collect(words_T, position_T, line_T, ids, offsets, p0, p1, margin, keep_V, key):
    """Tokens of ids[p0:p1] that survive sub-sampling, with up to `margin` survivors of the same line on either side.

    Returns (first, last, n): the survivors of p0 .. p1-1 are words_T[first:last] of n.
    """
    line = np.searchsorted(offsets, p0, side="right") - 1
    n, p = 0, p0 - 1
    while p >= offsets[line] and n < margin:
        if _keeps(ids[p], p, keep_V, key):
            words_T[n], position_T[n], line_T[n] = ids[p], p, line
            n += 1
        p -= 1
    for i in range(n // 2):  # they were met backwards
        words_T[i], words_T[n - 1 - i] = words_T[n - 1 - i], words_T[i]
        position_T[i], position_T[n - 1 - i] = position_T[n - 1 - i], position_T[i]
    first = n
    for p in range(p0, p1):
        while p >= offsets[line + 1]:
            line += 1
        if _keeps(ids[p], p, keep_V, key):
            words_T[n], position_T[n], line_T[n] = ids[p], p, line
            n += 1
    last, p = n, p1
    while p < offsets[line + 1] and n < last + margin:
        if _keeps(ids[p], p, keep_V, key):
            words_T[n], position_T[n], line_T[n] = ids[p], p, line
            n += 1
        p += 1
    return first, last, n


@kernel
def _draw_pool(pool_Q, alias_V, threshold_V, key, start):
    """Noise words by the alias method (Walker 1977): one 64-bit draw names a column and decides between its two words."""
    for i in range(pool_Q.size):
        draw = _hash(key, start + i)
        column = np.int64(((draw >> np.uint64(32)) * np.uint64(alias_V.size)) >> np.uint64(32))
        low = draw & np.uint64(0xFFFFFFFF)
        pool_Q[i] = column if low < np.uint64(threshold_V[column]) else alias_V[column]


@kernel
def _take_row(private_MD, slots_V, touched_M, uses_M, n, word, uses, shared_VD):
    """Note `uses` of a word; its private row is copied from the shared matrix when the shard meets it first."""
    if slots_V[word] < 0:
        slots_V[word] = n
        touched_M[n] = word
        uses_M[n] = 0
        for j in range(shared_VD.shape[1]):
            private_MD[n, j] = shared_VD[word, j]
        n += 1
    uses_M[slots_V[word]] += uses
    return n


@kernel
def _forget(slots_in_V, slots_out_V, touched_in_M, touched_out_M, sizes):
    """No word has a private row any more."""
    for i in range(sizes[0]):
        slots_in_V[touched_in_M[i]] = -1
    for i in range(sizes[1]):
        slots_out_V[touched_out_M[i]] = -1
    sizes[0] = 0
    sizes[1] = 0


@kernel
def _private_round(
    in_VD, out_VD, in_MD, out_MD, slots_in_V, slots_out_V, touched_in_M, touched_out_M, uses_in_M, uses_out_M, sizes,
    words_T, position_T, line_T, first, last, n, pool_Q, window, negative, lr, keys,
):  # fmt: skip
    """Copy the rows a shard needs, then train on the copies; sizes = (input rows, output rows) touched."""
    inputs_T, outputs_T = np.empty(n, np.int32), np.empty(n, np.int32)
    rows = 0
    for t in range(n):
        rows = _take_row(in_MD, slots_in_V, touched_in_M, uses_in_M, rows, words_T[t], ONE, in_VD)
        inputs_T[t] = slots_in_V[words_T[t]]
    sizes[0] = rows
    rows = 0
    for t in range(first, last):
        rows = _take_row(out_MD, slots_out_V, touched_out_M, uses_out_M, rows, words_T[t], ONE, out_VD)
        outputs_T[t] = slots_out_V[words_T[t]]
    noise_uses = np.float32((last - first) * negative / pool_Q.size)
    for i in range(pool_Q.size):
        rows = _take_row(out_MD, slots_out_V, touched_out_M, uses_out_M, rows, pool_Q[i], noise_uses, out_VD)
        pool_Q[i] = slots_out_V[pool_Q[i]]
    sizes[1] = rows
    return train_centres(
        in_MD, out_MD, inputs_T, outputs_T, position_T[:n], line_T[:n], first, last, pool_Q, window, negative, lr, keys
    )


@parallel_kernel
def train_round(
    in_VD, out_VD, in_SMD, out_SMD, slots_in_SV, slots_out_SV, touched_in_SM, touched_out_SM,
    uses_in_SM, uses_out_SM, sizes_S2, words_ST, position_ST, line_ST, pool_SQ, loss_S, pairs_S, ids, offsets, start, tokens, keep_V, alias_V,
    threshold_V, window, negative, lr_S, keys, private,
):  # fmt: skip
    """One round: shard s trains on ids[start + s tokens : start + (s+1) tokens].

    With `private` each shard works on its own copies of the rows it touches, to be merged by merge_round: the result does
    not depend on the threads. Without it all shards update the shared matrices as they go (Niu et al. 2011, "Hogwild").

    Shapes   in_VD, out_VD (V + 6, D) float32, shared; in_SMD, out_SMD (S, M, D); slots_*_SV (S, V) int32, -1 for a word
             without a row; touched_*_SM (S, M) int32; sizes_S2 (S, 2) int64; words, position, line (S, T); pool_SQ (S, Q)
             int32; loss_S float64, pairs_S int64 (S,), accumulated; ids, offsets: the corpus; keep_V, threshold_V (V,)
             uint32, alias_V (V,) int32; uses_*_SM (S, M) float32 out; lr_S (S,) float32; keys (4,) uint64: sub-sampling, noise pool, window, noise.
    """
    for s in prange(words_ST.shape[0]):
        p0 = min(start + s * tokens, ids.size)
        p1 = min(p0 + tokens, ids.size)
        if private:
            _forget(slots_in_SV[s], slots_out_SV[s], touched_in_SM[s], touched_out_SM[s], sizes_S2[s])
        if p0 < p1:
            first, last, n = _collect(
                words_ST[s], position_ST[s], line_ST[s], ids, offsets, p0, p1, window, keep_V, keys[0]
            )
            _draw_pool(pool_SQ[s], alias_V, threshold_V, keys[1], p0 // tokens * pool_SQ.shape[1])
            if private:
                loss, pairs = _private_round(
                    in_VD, out_VD, in_SMD[s], out_SMD[s], slots_in_SV[s], slots_out_SV[s], touched_in_SM[s],
                    touched_out_SM[s], uses_in_SM[s], uses_out_SM[s], sizes_S2[s], words_ST[s], position_ST[s], line_ST[s], first, last, n, pool_SQ[s],
                    window, negative, lr_S[s], keys[2:],
                )  # fmt: skip
            else:
                words = words_ST[s, :n]
                loss, pairs = train_centres(
                    in_VD, out_VD, words, words, position_ST[s, :n], line_ST[s, :n], first, last, pool_SQ[s],
                    window, negative, lr_S[s], keys[2:],
                )  # fmt: skip
            loss_S[s] += loss
            pairs_S[s] += pairs


@kernel
def _merge_rows(shared_VD, private_SMD, slots_SV, touched_SM, uses_SM, sizes_S, rate, part, parts):
    """Add the shards' changes of the words of one part, scaled as merge_round says."""
    shards, d = private_SMD.shape[0], shared_VD.shape[1]
    owners = np.empty(shards, np.int64)
    for s in range(shards):
        for i in range(sizes_S[s]):
            word = touched_SM[s, i]
            if word % parts != part:
                continue
            n = 0
            for r in range(shards):
                if slots_SV[r, word] >= 0:
                    owners[n] = r
                    n += 1
            if owners[0] != s:
                continue  # an earlier shard touched it too and merged it
            row = shared_VD[word]
            if n == 1:
                for j in range(d):
                    row[j] = private_SMD[s, i, j]
                continue
            uses = 0.0
            for m in range(n):
                uses += uses_SM[owners[m], slots_SV[owners[m], word]]
            whole, part_of_it = -math.expm1(-rate * uses), -math.expm1(-rate * uses / n)
            scale = np.float32(whole / (n * part_of_it))
            for m in range(1, n):  # gather the changes in the first owner's copy
                other = private_SMD[owners[m], slots_SV[owners[m], word]]
                mine = private_SMD[s, i]
                for j in range(d):
                    mine[j] += other[j] - row[j]
            for j in range(d):
                row[j] += scale * (private_SMD[s, i, j] - row[j])


@parallel_kernel
def merge_round(
    in_VD, out_VD, in_SMD, out_SMD, slots_in_SV, slots_out_SV, touched_in_SM, touched_out_SM, uses_in_SM, uses_out_SM,
    sizes_S2, rate, parts,
):  # fmt: skip
    """Fold the private rows of a round into the shared matrices; each row has one owner, shards are added in order.

    A row that n shards used u times in all changes by the sum of their changes times
    (1 - e^(-rate u)) / (n (1 - e^(-rate u / n))): steps towards one optimum shrink what is left to go by a factor each,
    so rarely used rows get the sum of the shards' steps (as one after the other), often used ones their mean. Plain
    sums diverge for frequent words, plain means learn rare ones too slowly.

    Shapes   as train_round; uses_*_SM (S, M) float32: uses of each private row; rate: shrinkage per use.
    """
    for part in prange(2 * parts):
        if part < parts:
            _merge_rows(in_VD, in_SMD, slots_in_SV, touched_in_SM, uses_in_SM, sizes_S2[:, 0], rate, part, parts)
        else:
            _merge_rows(
                out_VD, out_SMD, slots_out_SV, touched_out_SM, uses_out_SM, sizes_S2[:, 1], rate, part - parts, parts
            )
