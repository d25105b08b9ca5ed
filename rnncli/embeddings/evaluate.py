"""What word vectors know: rank agreement with people on word pairs, and analogies answered.

A word without a vector is met in two ways, and both are always measured: `skip` leaves its pairs and questions out,
`zero` counts its pairs with similarity 0 and its questions as wrong. Skipping flatters a small vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnncli.data.wordquestions import AnalogySection, WordPairs
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.query import METHODS, best_rows
from rnncli.embeddings.resampling import Bootstrap, Floats, means_of, spearman, spearman_of
from rnncli.results import (
    AnalogyEvaluation,
    AnalogyScore,
    AnalogyScores,
    AnalogySectionResult,
    SimilarityResult,
    SimilarityScore,
)


@dataclass(frozen=True)
class PairCosines:
    """A model's answer to a file of n word pairs."""

    pairs: WordPairs
    cosines: Floats  # (n,), 0 where a word has no vector
    found: NDArray[np.bool_]  # (n,)


@dataclass(frozen=True)
class AnalogyAnswers:
    """A model's answer to n analogies, the sections one after the other."""

    sections: Sequence[AnalogySection]
    correct_NM: NDArray[np.bool_]  # by method, in the order of METHODS; false where not answerable
    found: NDArray[np.bool_]  # (n,) all four words have vectors


def pair_cosines(model: EmbeddingModel, pairs: WordPairs) -> PairCosines:
    """Cosines of every pair."""
    words = list(dict.fromkeys(word for pair in pairs.pairs for word in pair))
    at = {word: i for i, word in enumerate(words)}
    unit_WE, known = model.query_vectors(words)
    first, second = (np.array([at[pair[side]] for pair in pairs.pairs]) for side in (0, 1))
    cosines = np.einsum("ne,ne->n", unit_WE[first].astype(np.float64), unit_WE[second].astype(np.float64))
    found = known[first] & known[second]
    return PairCosines(pairs, np.where(found, cosines, 0.0), found)


def analogy_answers(model: EmbeddingModel, sections: Sequence[AnalogySection]) -> AnalogyAnswers:
    """Whether the best word of each question, its own three words left out, is the right one."""
    questions = [question for section in sections for question in section.questions]
    words = list(dict.fromkeys(word for question in questions for word in question))
    at = {word: i for i, word in enumerate(words)}
    unit_WE, known = model.query_vectors(words)
    rows = np.array([-1 if (row := model.row_of(word)) is None else row for word in words], np.int64)
    asked_N4 = np.array([[at[word] for word in question] for question in questions], np.int64).reshape(-1, 4)
    # The right word must be one that can be found: a row of the model.
    found = known[asked_N4[:, :3]].all(axis=1) & (rows[asked_N4[:, 3]] >= 0)
    asked_N3, own_N3 = asked_N4[found, :3], rows[asked_N4[found, :3]]
    correct_NM = np.zeros((len(questions), len(METHODS)), np.bool_)
    for m, method in enumerate(METHODS.values()):
        _, best_N1 = best_rows(model, unit_WE, asked_N3, own_N3, method, 1)
        correct_NM[found, m] = best_N1[:, 0] == rows[asked_N4[found, 3]]
    return AnalogyAnswers(sections, correct_NM, found)


def similarity_result(answer: PairCosines, policy: str, bootstrap: Bootstrap) -> SimilarityResult:
    """Spearman's correlation under both policies; `policy` ("skip" or "zero") is the one that comes first."""
    scores = np.array(answer.pairs.scores)

    def score(chosen: NDArray[np.bool_]) -> SimilarityScore:
        x, y = answer.cosines[chosen], scores[chosen]
        (interval,) = bootstrap.interval(spearman_of(x, y), len(x))
        return SimilarityScore(spearman(x, y), interval, len(x))

    skip = score(answer.found)
    zero = skip if answer.found.all() else score(np.ones(len(scores), np.bool_))
    main = skip if policy == "skip" else zero
    oov = int((~answer.found).sum())
    return SimilarityResult(answer.pairs.name, main.spearman, main.interval, main.pairs, oov, skip, zero)


def analogy_result(answers: AnalogyAnswers, policy: str, bootstrap: Bootstrap) -> AnalogyEvaluation:
    """Accuracies under both policies, of all questions and of each section; `policy` is the one that comes first."""
    sections = []
    first = 0
    for section in answers.sections:
        part = slice(first, first + len(section.questions))
        first = part.stop
        add, mul = _scores(answers.correct_NM[part], answers.found[part], bootstrap)
        main, oov = _chosen(add, policy), int((~answers.found[part]).sum())
        sections.append(
            AnalogySectionResult(section.name, section.file, main.accuracy, main.interval, main.n, oov, add, mul)
        )
    add, mul = _scores(answers.correct_NM, answers.found, bootstrap)
    main, oov = _chosen(add, policy), int((~answers.found).sum())
    return AnalogyEvaluation(main.accuracy, main.interval, main.n, oov, add, mul, sections)


def _chosen(scores: AnalogyScores, policy: str) -> AnalogyScore:
    return scores.skip if policy == "skip" else scores.zero


def _scores(correct_NM: NDArray[np.bool_], found: NDArray[np.bool_], bootstrap: Bootstrap) -> list[AnalogyScores]:
    """The scores of every method."""
    skip = _accuracies(correct_NM[found], bootstrap)
    zero = skip if found.all() else _accuracies(correct_NM, bootstrap)
    return [AnalogyScores(*both) for both in zip(skip, zero, strict=True)]


def _accuracies(correct_NM: NDArray[np.bool_], bootstrap: Bootstrap) -> list[AnalogyScore]:
    n = len(correct_NM)
    intervals = bootstrap.interval(means_of(correct_NM.astype(np.float64)), n)
    totals = correct_NM.sum(axis=0).tolist()
    return [
        AnalogyScore(total / n if n else None, interval, n, total)
        for total, interval in zip(totals, intervals, strict=True)
    ]
