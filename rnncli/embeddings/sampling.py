"""The distributions skip-gram draws from: which tokens are kept, and which words are noise."""

import numpy as np
from numpy.typing import NDArray

NOISE_POWER = 0.75


def keep_probabilities(counts: NDArray[np.int64], sample: float) -> NDArray[np.float64]:
    """Probability (V,) that one occurrence of a word is trained; all ones when `sample` is 0.

    Source: word2vec.c (Mikolov et al. 2013): sqrt(t / f) + t / f, f the relative frequency, t = `sample`; at most 1.
    """
    if sample <= 0.0:
        return np.ones(len(counts))
    ratio = sample * counts.sum() / np.maximum(counts, 1)
    return np.asarray(np.minimum(np.sqrt(ratio) + ratio, 1.0))


def keep_thresholds(counts: NDArray[np.int64], sample: float) -> NDArray[np.uint64]:
    """keep_probabilities in units of 2^-32: a draw of 32 bits below it keeps the token."""
    return np.round(keep_probabilities(counts, sample) * 2.0**32).astype(np.uint64)


def noise_probabilities(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability (V,) of each word as a negative: proportional to count^0.75."""
    weights = np.maximum(counts, 0).astype(np.float64) ** NOISE_POWER
    return np.asarray(weights / weights.sum())


def alias_table(probabilities: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """(alias, odds), (V,) each: draw a column uniformly, keep it where 32 random bits are below its odds, else its alias.

    Source: Vose 1991, "A linear algorithm for generating random numbers with a given distribution".
    """
    n = len(probabilities)
    scaled = (probabilities * n).tolist()
    small = [i for i in range(n) if scaled[i] < 1.0]
    large = [i for i in range(n) if scaled[i] >= 1.0]
    alias = list(range(n))
    odds = [1.0] * n
    while small and large:
        poor, rich = small.pop(), large[-1]
        odds[poor], alias[poor] = scaled[poor], rich
        scaled[rich] -= 1.0 - scaled[poor]
        if scaled[rich] < 1.0:
            small.append(large.pop())
    # What is left has probability 1 up to rounding, and is its own alias.
    limit = 2.0**32 - 1.0
    return np.array(alias, np.int32), np.minimum(np.round(np.array(odds) * 2.0**32), limit).astype(np.uint32)


def huffman_tree(counts: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(paths, codes): the inner nodes from the root to each word, (V, longest) int32 and -1 after the last, and (V,) int64
    with bit k set where the path goes to the first child of its node k.

    Frequent words have short paths: the expected length is within one node of the entropy of the counts. Ties go to the
    word that comes first. Source: Huffman 1952, "A method for the construction of minimum-redundancy codes"; two queues.
    Needs two words at least; a depth above 62 would need more than 10^13 tokens.
    """
    words = len(counts)
    parent = np.zeros(2 * words - 1, np.int64)
    first_child = np.zeros(2 * words - 1, np.bool_)
    leaves = np.argsort(counts, kind="stable").tolist()  # lightest first
    weights = [int(c) for c in counts] + [0] * (words - 1)
    next_leaf, next_inner = 0, words
    for node in range(words, 2 * words - 1):
        for child in range(2):
            inner_waits = next_inner < node
            if next_leaf < words and (not inner_waits or weights[leaves[next_leaf]] <= weights[next_inner]):
                chosen = leaves[next_leaf]
                next_leaf += 1
            else:
                chosen = next_inner
                next_inner += 1
            parent[chosen], first_child[chosen] = node, child == 0
            weights[node] += weights[chosen]
    routes: list[list[int]] = []
    codes = np.zeros(words, np.int64)
    for word in range(words):
        route, turns, node = [], [], word
        while node != 2 * words - 2:
            turns.append(bool(first_child[node]))
            node = int(parent[node])
            route.append(node - words)
        routes.append(route[::-1])
        codes[word] = sum(1 << k for k, turn in enumerate(reversed(turns)) if turn)
    paths = np.full((words, max(map(len, routes))), -1, np.int32)
    for word, route in enumerate(routes):
        paths[word, : len(route)] = route
    return paths, codes
