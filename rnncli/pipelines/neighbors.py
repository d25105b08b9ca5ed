"""The words nearest to each query word."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.query import nearest
from rnncli.pipelines.models import load_embeddings
from rnncli.results import NeighborsResult


def run(model: Path, words: Iterable[str], k: int = 10, chunk: int = 256) -> Iterator[NeighborsResult]:
    """Yield the `k` nearest words by cosine for every query, N in, N out. Raises UsageError or ArtifactError."""
    return _nearest(load_embeddings(model), iter(words), k, chunk)


def _nearest(model: EmbeddingModel, words: Iterator[str], k: int, chunk: int) -> Iterator[NeighborsResult]:
    while batch := list(islice(words, chunk)):
        yield from nearest(model, batch, k)
