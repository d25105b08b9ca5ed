"""Word vectors on word pairs and analogies; two sets of vectors on the same ones."""

from collections.abc import Sequence
from pathlib import Path

from rnncli.data.wordquestions import AnalogySection, WordPairs, read_analogies, read_word_pairs
from rnncli.embeddings.compare import compare
from rnncli.embeddings.evaluate import (
    AnalogyAnswers,
    PairCosines,
    analogy_answers,
    analogy_result,
    pair_cosines,
    similarity_result,
)
from rnncli.embeddings.resampling import Bootstrap
from rnncli.errors import UsageError
from rnncli.kernels._jit import set_threads
from rnncli.pipelines.models import load_embeddings
from rnncli.results import EmbeddingsScores, EvalEmbeddingsResult

Answers = tuple[list[PairCosines], AnalogyAnswers | None]


def run(
    models: Sequence[Path],
    similarity: Sequence[Path] = (),
    analogy: Sequence[Path] = (),
    *,
    oov: str = "skip",
    restrict: int = 0,
    resamples: int = 1000,
    seed: int = 1,
    threads: int = 0,
) -> EvalEmbeddingsResult:
    """Measure one or two models on files of word pairs and of analogies.

    `oov` ("skip" or "zero") says which policy for words without a vector gives the headline numbers; both are in the
    result. `restrict` looks at the first, most frequent words only (0: all). Equal arguments give equal results at any
    thread count. Raises UsageError, CorpusError, ArtifactError.
    """
    if not similarity and not analogy:
        raise UsageError("nothing to measure: give --similarity FILE, --analogy FILE or both")
    if not 1 <= len(models) <= 2:
        raise UsageError(f"{len(models)} models: give one, or two to compare")
    pairs = [read_word_pairs(path) for path in similarity]
    sections = [section for path in analogy for section in read_analogies(path)]
    bootstrap = Bootstrap(resamples, seed)
    set_threads(threads)
    answers: list[Answers] = []
    scores: list[EmbeddingsScores] = []
    for path in models:  # one after the other, so that only one model is in memory
        words, answer = _asked(path, restrict, pairs, sections)
        answers.append(answer)
        scores.append(_scores(str(path), words, answer, oov, bootstrap))
    first = scores[0]
    comparison = None
    if len(models) == 2:
        (pairs_1, analogies_1), (pairs_2, analogies_2) = answers
        both = (analogies_1, analogies_2) if analogies_1 and analogies_2 else None
        comparison = compare(list(zip(pairs_1, pairs_2, strict=True)), both, bootstrap)
    second = scores[1] if len(models) == 2 else None
    return EvalEmbeddingsResult(first.model, first.words, first.similarity, first.analogy, second, comparison)


def _asked(
    path: Path, restrict: int, pairs: Sequence[WordPairs], sections: Sequence[AnalogySection]
) -> tuple[int, Answers]:
    """How many words the model has, and its answers."""
    model = load_embeddings(path).most_frequent(restrict)
    answers = [pair_cosines(model, item) for item in pairs]
    return len(model.vocab), (answers, analogy_answers(model, sections) if sections else None)


def _scores(model: str, words: int, answer: Answers, oov: str, bootstrap: Bootstrap) -> EmbeddingsScores:
    pairs, analogies = answer
    similarity = [similarity_result(item, oov, bootstrap) for item in pairs]
    return EmbeddingsScores(model, words, similarity, analogy_result(analogies, oov, bootstrap) if analogies else None)
