"""Model files -> objects: the one place where artifacts meet classifiers and embeddings."""

from pathlib import Path

from rnncli.artifacts.bundle import load_model
from rnncli.embeddings.model import EmbeddingModel
from rnncli.errors import ArtifactError
from rnncli.rnn.classifier import Classifier


def load_classifier(path: Path) -> Classifier:
    """A classifier from its run folder or model file. Raises UsageError (missing) or ArtifactError (damaged)."""
    stored = load_model(path, kind="classifier")
    try:
        return Classifier.from_stored(stored.tensors, stored.meta)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error


def load_embeddings(path: Path) -> EmbeddingModel:
    """Word vectors from their run folder or model file. Raises UsageError (missing) or ArtifactError (damaged)."""
    stored = load_model(path, kind="embeddings")
    try:
        return EmbeddingModel.from_stored(stored.tensors, stored.meta)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error
