"""Neighbouring tokens counted in bounded memory, and joined from left to right.

Dimension key: N tokens of a corpus, L its lines, V token types, F bytes of a filter, T slots of a table, R joined pairs.

A pair (a, b) has the key a * V + b. A filter counts keys by their hash, in one byte each, so it never says fewer than
there are: what it says is too rare needs no slot in the table (Park, Chen & Yu 1995, "An effective hash-based algorithm
for mining association rules", section 2), and the counts of the table are exact.
"""

from typing import NamedTuple

import numpy as np

from rnncli.kernels._jit import inline_kernel, kernel
from rnncli.kernels.scalar import counter_hash

FULL = 255  # a byte of the filter that says so means: at least so many
FREE = -1  # key of a slot that is not taken
NO_KEY = np.uint64(0)
HALF = np.uint64(32)


class Pairs(NamedTuple):
    """A corpus, and how often a pair must be there to be worth a slot: more often than base + scale * a * b."""

    ids: np.ndarray  # (N,) int32
    offsets: np.ndarray  # (L + 1,) int64
    counts: np.ndarray  # (V,) int64: how often each token is there
    base: float
    scale: float  # of the product of the two counts


class Phrases(NamedTuple):
    """Pairs to be joined, sorted by first and then by second token."""

    bounds: np.ndarray  # (V + 1,) int64: pairs bounds[a] .. bounds[a + 1] - 1 begin with a
    seconds: np.ndarray  # (R,) int32
    joined: np.ndarray  # (R,) int32: the token that the pair becomes


@inline_kernel
def _below(hashed, n):
    """The hash as a number 0 .. n - 1, n a power of two not above 2^32, from its high half."""
    return np.int64((hashed >> HALF) & np.uint64(n - 1))


@inline_kernel
def _needed(pairs, a, b):
    """The number that the pair's count has to exceed; infinite where it cannot, as a pair is no oftener than its tokens."""
    count_a, count_b = pairs.counts[a], pairs.counts[b]
    needed = pairs.base + pairs.scale * (np.float64(count_a) * np.float64(count_b))
    return needed if min(count_a, count_b) > needed else np.inf


@kernel
def filter_pairs(seen_F, pairs, start, stop, line):
    """Add the pairs that begin at tokens start .. stop - 1 to the filter seen_F (F,) uint8, F a power of two.

    `line` is that of token `start`; returns the line of token `stop`.
    """
    ids, n_types = pairs.ids, np.int64(len(pairs.counts))
    for i in range(start, stop):
        while pairs.offsets[line + 1] <= i:
            line += 1
        if i + 1 == pairs.offsets[line + 1]:
            continue
        a, b = np.int64(ids[i]), np.int64(ids[i + 1])
        if _needed(pairs, a, b) < np.inf:
            k = _below(counter_hash(NO_KEY, a * n_types + b), len(seen_F))
            if seen_F[k] < FULL:
                seen_F[k] += np.uint8(1)
    return line


@kernel
def count_pairs(keys_T, tallies_T, seen_F, pairs, used, room, part, parts, start, stop, line):
    """Count in the table keys_T, tallies_T (T,) int64 the pairs that begin at tokens start .. stop - 1, pass the
    filter, and are of this part (of a number of parts that is a power of two, by hash).

    Stops before the table has more than `room` keys; returns the token reached, its line, and the keys there are.
    """
    ids, n_types = pairs.ids, np.int64(len(pairs.counts))
    for i in range(start, stop):
        while pairs.offsets[line + 1] <= i:
            line += 1
        if i + 1 == pairs.offsets[line + 1]:
            continue
        a, b = np.int64(ids[i]), np.int64(ids[i + 1])
        needed = _needed(pairs, a, b)
        if needed == np.inf:
            continue
        key = a * n_types + b
        hashed = counter_hash(NO_KEY, key)
        seen = seen_F[_below(hashed, len(seen_F))]
        if (seen < FULL and seen <= needed) or np.int64(hashed & np.uint64(parts - 1)) != part:
            continue
        slot = _find_slot(keys_T, key, hashed)
        if keys_T[slot] == FREE:
            if used == room:
                return i, line, used
            keys_T[slot] = key
            used += 1
        tallies_T[slot] += 1
    return stop, line, used


@inline_kernel
def _find_slot(keys_T, key, hashed):
    """Where the key is or would go: linear probing from the place its hash says."""
    slot = _below(hashed, len(keys_T))
    while keys_T[slot] != FREE and keys_T[slot] != key:
        slot = (slot + 1) & (len(keys_T) - 1)
    return slot


@kernel
def move_pairs(new_keys_T, new_tallies_T, keys_T, tallies_T):
    """Copy a table into an empty one of another length, a power of two."""
    for i in range(len(keys_T)):
        if keys_T[i] != FREE:
            slot = _find_slot(new_keys_T, keys_T[i], counter_hash(NO_KEY, keys_T[i]))
            new_keys_T[slot] = keys_T[i]
            new_tallies_T[slot] = tallies_T[i]


@kernel
def join_pairs(out, ends, new_counts, ids, offsets, phrases, at, line):
    """Write the corpus ids (N,), offsets (L + 1,) from token `at` of `line` on, phrases joined from left to right.

    Fills out (., ) int32 with tokens and ends (., ) int64 with the line ends, counted in out, until one of them is
    full or the corpus ends; adds what it writes to new_counts (V + new types,). Returns the token and the line to go
    on from, and how much of out and of ends is written.
    """
    written, lines = 0, 0
    while line < len(offsets) - 1:
        end = offsets[line + 1]
        while at < end and written < len(out):
            token = ids[at]
            at += 1
            if at < end:
                k = _find_second(phrases, token, ids[at])
                if k >= 0:
                    token = phrases.joined[k]
                    at += 1
            out[written] = token
            new_counts[token] += 1
            written += 1
        if at < end or lines == len(ends):
            break
        ends[lines] = written
        lines += 1
        line += 1
    return at, line, written, lines


@inline_kernel
def _find_second(phrases, a, b):
    """The place of the pair, -1 when it is none: bisection among those that begin with a."""
    low, high = phrases.bounds[a], phrases.bounds[a + 1]
    while low < high:
        middle = (low + high) // 2
        if phrases.seconds[middle] < b:
            low = middle + 1
        else:
            high = middle
    return low if low < phrases.bounds[a + 1] and phrases.seconds[low] == b else -1


@kernel
def renumber(out, ends, ids, offsets, numbers_V, at, line):
    """As join_pairs, but every token t becomes numbers_V[t] (V,) int32, or goes where that is negative."""
    written, lines = 0, 0
    while line < len(offsets) - 1:
        end = offsets[line + 1]
        while at < end and written < len(out):
            number = numbers_V[ids[at]]
            at += 1
            if number >= 0:
                out[written] = number
                written += 1
        if at < end or lines == len(ends):
            break
        ends[lines] = written
        lines += 1
        line += 1
    return at, line, written, lines
