"""Model files -> objects: the one place where artifacts meet recurrent models and embeddings."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from rnncli.artifacts.bundle import METADATA_KEY, load_model, with_article
from rnncli.data.streams import STDIN
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.damage import damage_sentences
from rnncli.embeddings.formats import read_vectors_and_format
from rnncli.embeddings.model import EmbeddingModel
from rnncli.errors import ArtifactError
from rnncli.events import Note, OnEvent, ignore
from rnncli.results import DamageReport
from rnncli.rnn.classifier import Classifier
from rnncli.rnn.language import LanguageModel
from rnncli.rnn.regression import Regressor
from rnncli.rnn.tagging import Tagger

LONGEST_HEADER = 100_000_000  # bytes; the bound safetensors itself sets


Recurrent = Classifier | Regressor | Tagger | LanguageModel
RECURRENT: dict[str, type[Recurrent]] = {kind.kind: kind for kind in (Classifier, Regressor, Tagger, LanguageModel)}


def load_recurrent(path: Path, kind: str | None = None) -> Recurrent:
    """A recurrent model from its run folder or model file, of one kind or of any.

    Raises UsageError (missing) or ArtifactError (damaged, or of another kind).
    """
    stored = load_model(path, kind)
    if stored.kind not in RECURRENT:
        raise ArtifactError(f"{path}: is {with_article(stored.kind)}; this command needs a recurrent network")
    try:
        return RECURRENT[stored.kind].from_stored(stored.tensors, stored.meta)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error


def load_classifier(path: Path) -> Classifier:
    """A classifier from its run folder or model file; see load_recurrent."""
    model = load_recurrent(path, Classifier.kind)
    assert isinstance(model, Classifier)
    return model


def load_language_model(path: Path) -> LanguageModel:
    """A language model from its run folder or model file; see load_recurrent."""
    model = load_recurrent(path, LanguageModel.kind)
    assert isinstance(model, LanguageModel)
    return model


def load_embeddings(path: Path, on_event: OnEvent = ignore) -> EmbeddingModel:
    """Word vectors from a run folder, a model file, or any word-vector file; what is damaged in it is told as notes.

    Raises UsageError (missing) or ArtifactError (damaged beyond use).
    """
    if is_stored_model(path):
        return load_stored_embeddings(path)
    return load_vector_file(path, on_event)[0]


def is_stored_model(path: Path) -> bool:
    """Whether a path is a run folder or a safetensors file, by its content; `-` and what is missing are not."""
    if path == STDIN or not path.is_file():
        return path.is_dir()
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError:  # whoever reads it next says why
        return False
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= LONGEST_HEADER


def load_stored_embeddings(path: Path) -> EmbeddingModel:
    """Word vectors from a run folder or model file of rnncli."""
    _refuse_bare_matrix(path)
    stored = load_model(path, kind="embeddings")
    try:
        return EmbeddingModel.from_stored(stored.tensors, stored.meta)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error


def load_vector_file(
    path: Path, on_event: OnEvent = ignore, strict: bool = False
) -> tuple[EmbeddingModel, DamageReport, str]:
    """Vectors of a word-vector file (counts zero, words as they are), its damage, and its format.

    The damage is told as notes; when `strict`, the first one is an ArtifactError.
    """
    words, vectors_VE, report, format_ = read_vectors_and_format(path, strict)
    for sentence in damage_sentences(report, "row" if format_ == "word2vec-bin" else "line"):
        on_event(Note(f"{path}: {sentence}"))
    vocab = Vocabulary(words, np.zeros(len(words), np.int64), has_unknown=False)
    return EmbeddingModel(vectors_VE, vocab, Tokenizer("whitespace", lowercase=False)), report, format_


def _refuse_bare_matrix(path: Path) -> None:
    """ArtifactError for a safetensors file of other make that holds one matrix: it may be vectors, but whose?"""
    if not path.is_file():
        return
    try:
        with safe_open(path, framework="numpy") as file:
            if METADATA_KEY in (file.metadata() or {}):
                return
            names = list(file.keys())
            shapes = {name: file.get_slice(name).get_shape() for name in names}
    except (SafetensorError, OSError):  # load_model says what is wrong
        return
    if len(names) == 1 and len(shapes[names[0]]) == 2:
        rows, dim = shapes[names[0]]
        raise ArtifactError(
            f"{path}: holds a matrix {names[0]!r} of {rows} x {dim} but no words: rnncli did not write it;"
            " give the vectors with their words, as word2vec or GloVe text"
        )
