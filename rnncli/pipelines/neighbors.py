"""The words nearest to each query word."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.query import nearest
from rnncli.kernels._jit import set_threads
from rnncli.pipelines.models import load_embeddings
from rnncli.results import NeighborsResult

AT_ONCE = 256


def run(model: Path, batches: Iterable[Sequence[str]], k: int = 10, threads: int = 0) -> Iterator[NeighborsResult]:
    """Yield the `k` nearest words by cosine for every query, N in, N out, batch by batch as they arrive.

    An answer does not depend on the batch. Raises UsageError or ArtifactError for the model.
    """
    set_threads(threads)
    return _nearest(load_embeddings(model), batches, k)


def _nearest(model: EmbeddingModel, batches: Iterable[Sequence[str]], k: int) -> Iterator[NeighborsResult]:
    for batch in batches:
        for first in range(0, len(batch), AT_ONCE):
            yield from nearest(model, batch[first : first + AT_ONCE], k)
