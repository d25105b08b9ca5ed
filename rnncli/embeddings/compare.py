"""Two models on the same questions: the difference, how sure it is, and nothing that one of them alone was asked."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rnncli.embeddings.evaluate import AnalogyAnswers, PairCosines
from rnncli.embeddings.resampling import Bootstrap, Floats, Statistic, means_of, percentiles, spearman_of
from rnncli.results import AnalogyComparison, Difference, Differences, EmbeddingsComparison, SimilarityComparison


def compare(
    pairs: Sequence[tuple[PairCosines, PairCosines]],
    analogies: tuple[AnalogyAnswers, AnalogyAnswers] | None,
    bootstrap: Bootstrap,
) -> EmbeddingsComparison:
    """The first of every two answers against the second, by paired bootstrap over the items."""
    similarity = [_compare_similarity(first, second, bootstrap) for first, second in pairs]
    return EmbeddingsComparison(similarity, _compare_analogies(*analogies, bootstrap) if analogies else None)


def _compare_similarity(first: PairCosines, second: PairCosines, bootstrap: Bootstrap) -> SimilarityComparison:
    scores = np.array(first.pairs.scores)

    def difference(chosen: NDArray[np.bool_]) -> Difference:
        y = scores[chosen]
        return _difference(
            spearman_of(first.cosines[chosen], y), spearman_of(second.cosines[chosen], y), len(y), bootstrap
        )

    skip, zero = _both_policies(first.found & second.found, difference)
    return SimilarityComparison(first.pairs.name, skip, zero)


def _compare_analogies(first: AnalogyAnswers, second: AnalogyAnswers, bootstrap: Bootstrap) -> AnalogyComparison:
    def differences(method: int) -> Differences:
        x, y = (answer.correct_NM[:, method : method + 1].astype(np.float64) for answer in (first, second))

        def difference(chosen: NDArray[np.bool_]) -> Difference:
            return _difference(means_of(x[chosen]), means_of(y[chosen]), int(chosen.sum()), bootstrap)

        return Differences(*_both_policies(first.found & second.found, difference))

    return AnalogyComparison(differences(0), differences(1))


def _both_policies(
    found: NDArray[np.bool_], difference: Callable[[NDArray[np.bool_]], Difference]
) -> tuple[Difference, Difference]:
    skip = difference(found)
    return skip, skip if found.all() else difference(np.ones(len(found), np.bool_))


def _difference(first: Statistic, second: Statistic, n: int, bootstrap: Bootstrap) -> Difference:
    def both(counts_RN: Floats) -> Floats:
        return np.concatenate([first(counts_RN), second(counts_RN)], axis=1)

    x, y = (None if np.isnan(value) else float(value) for value in both(np.ones((1, n)))[0])
    if x is None or y is None:
        return Difference(n, x, y, None, None, None, None)
    if bootstrap.resamples == 0:
        return Difference(n, x, y, x - y, None, None, None)
    gains = np.subtract(*bootstrap.values(both, n).T)
    gains = gains[~np.isnan(gains)]
    shares = (float((gains > 0).mean()), float((gains < 0).mean())) if len(gains) else (None, None)
    return Difference(n, x, y, x - y, percentiles(gains), *shares)
