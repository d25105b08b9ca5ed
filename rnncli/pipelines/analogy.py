"""Analogies: "a is to b as c is to what?"."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.query import analogies
from rnncli.kernels._jit import set_threads
from rnncli.pipelines.models import load_embeddings
from rnncli.results import AnalogyResult

Question = tuple[str, str, str]
AT_ONCE = 256


def run(
    model: Path, batches: Iterable[Sequence[Question]], k: int = 10, method: str = "add", threads: int = 0
) -> Iterator[AnalogyResult]:
    """Yield the `k` best answers to every question, N in, N out, batch by batch as they arrive.

    `method` is "add" (3CosAdd) or "mul" (3CosMul). An answer does not depend on the batch. Raises UsageError or
    ArtifactError for the model.
    """
    set_threads(threads)
    return _answers(load_embeddings(model), batches, k, method)


def _answers(
    model: EmbeddingModel, batches: Iterable[Sequence[Question]], k: int, method: str
) -> Iterator[AnalogyResult]:
    for batch in batches:
        for first in range(0, len(batch), AT_ONCE):
            yield from analogies(model, batch[first : first + AT_ONCE], k, method)
