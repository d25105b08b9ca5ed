"""What word2vec draws at random: which frequent words are skipped, and which words serve as noise."""

import numpy as np
from numpy.typing import NDArray

NOISE_POWER = 0.75  # Mikolov et al. 2013, section 2.2: unigram counts to the 3/4


def keep_thresholds(counts_V: NDArray[np.int64], sample: float) -> NDArray[np.uint32]:
    """Sub-sampling: a token of word w stays when 32 random bits are at most its threshold.

    Keep probability sqrt(s / f) + s / f, f the word's share of the corpus and s the config's `sample`, at most 1: the
    rule of the word2vec program (the paper prints sqrt(s / f) alone). Shape (V,).
    """
    if sample == 0:
        return np.full(counts_V.size, 0xFFFFFFFF, np.uint32)
    ratio = sample * counts_V.sum() / np.maximum(counts_V, 1)
    keep = np.minimum(np.sqrt(ratio) + ratio, 1.0)
    return np.floor(keep * 0xFFFFFFFF).astype(np.uint32)


def noise_distribution(counts_V: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each word among the noise words, proportional to count^0.75. Shape (V,)."""
    weights = counts_V.astype(np.float64) ** NOISE_POWER
    return np.asarray(weights / weights.sum())


def alias_table(probabilities_V: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Walker's alias table (Vose 1991): column c yields c when 32 random bits are below threshold[c], else alias[c].

    Returns (alias (V,) int32, threshold (V,) uint32). A column that never yields its alias has itself as alias.
    """
    n = probabilities_V.size
    scaled = probabilities_V * n
    alias = np.arange(n, dtype=np.int32)
    share = np.ones(n)
    small = [i for i in range(n) if scaled[i] < 1.0]
    large = [i for i in range(n) if scaled[i] >= 1.0]
    while small and large:
        low, high = small.pop(), large[-1]
        share[low], alias[low] = scaled[low], high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            small.append(large.pop())
    return alias, np.floor(share * 0xFFFFFFFF).astype(np.uint32)
