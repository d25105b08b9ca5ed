"""Word vectors from one file format to another."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from rnncli.artifacts.atomic import replacing
from rnncli.artifacts.bundle import ModelFile, load_model, save_model
from rnncli.data.streams import STDIN
from rnncli.embeddings.formats import Format, write_vectors
from rnncli.embeddings.model import EmbeddingModel
from rnncli.errors import ArtifactError, UsageError
from rnncli.events import Note, OnEvent, ignore
from rnncli.pipelines.models import is_stored_model, load_stored_embeddings, load_vector_file
from rnncli.results import ConvertResult, DamageReport

Target = Literal["word2vec-text", "word2vec-bin", "glove", "fasttext-vec", "rnncli"]
BY_SUFFIX: dict[str, Target] = {
    ".bin": "word2vec-bin",
    ".vec": "fasttext-vec",
    ".txt": "word2vec-text",
    ".safetensors": "rnncli",
}
PACKED = ".gz"


def run(
    model: Path,
    output: Path,
    to: Target | None = None,
    *,
    strict: bool = False,
    force: bool = False,
    standard_output: BinaryIO | None = None,
    on_event: OnEvent = ignore,
) -> ConvertResult:
    """Read word vectors of any format and write them as `to` says, or else the suffix of `output`.

    The output is whole or absent; a name that ends in .gz is compressed; `-` writes text to `standard_output`. Raises
    UsageError (missing or existing file, unknown suffix) or ArtifactError (damage; a word the format cannot hold).
    """
    target = _target(output, to)
    if output != STDIN:
        _check_output(output, force)
    damage, source_format = DamageReport(), "rnncli"
    if is_stored_model(model):
        embeddings = load_stored_embeddings(model)
    else:
        embeddings, damage, source_format = load_vector_file(model, on_event, strict)
    if target == "rnncli":
        save_model(output, _model_file(model, embeddings, source_format))
    else:
        _tell_what_is_lost(embeddings, on_event)
        try:
            _write_foreign(output, embeddings, target, standard_output)
        except ArtifactError as error:  # a word the format cannot hold
            raise ArtifactError(f"{model}: {error}") from None
    return ConvertResult(
        source=str(model),
        source_format=source_format,
        output=str(output),
        format=target,
        words=len(embeddings.vocab),
        dim=embeddings.dim,
        damage=damage,
    )


def _target(output: Path, to: Target | None) -> Target:
    """The format to write; UsageError where it does not go with the output."""
    target: Target | None
    if output == STDIN:
        target = to or "word2vec-text"
        if target in ("word2vec-bin", "rnncli"):
            raise UsageError(f"{target} is no text and does not go to standard output; name an output file")
        return target
    packed = output.suffix == PACKED
    target = to or BY_SUFFIX.get(Path(output.stem).suffix if packed else output.suffix)
    if target is None:
        raise UsageError(f"{output}: the suffix names no format; give --to ({', '.join(get_args(Target))})")
    if packed and target == "rnncli":
        raise UsageError(f"{output}: a model file is not compressed; leave {PACKED} out")
    return target


def _check_output(output: Path, force: bool) -> None:
    if output.is_dir():
        raise UsageError(f"{output}: is a folder; name a file")
    if not output.parent.is_dir():
        raise UsageError(f"{output}: there is no folder {output.parent}; create it")
    if output.exists() and not force:
        raise UsageError(f"{output}: exists already; --force overwrites it")


def _model_file(model: Path, embeddings: EmbeddingModel, source_format: str) -> ModelFile:
    if source_format == "rnncli":  # a copy, with the config and provenance it has
        return load_model(model, kind="embeddings")
    return ModelFile("embeddings", embeddings.to_tensors(), embeddings.to_meta())


def _tell_what_is_lost(embeddings: EmbeddingModel, on_event: OnEvent) -> None:
    if embeddings.ngrams is not None:
        on_event(Note("the sub-word vectors are left out: this format holds words only"))


def _write_foreign(output: Path, embeddings: EmbeddingModel, format_: Format, standard_output: BinaryIO | None) -> None:
    if output == STDIN:
        if standard_output is None:
            raise UsageError("there is no standard output; name an output file")
        write_vectors(standard_output, embeddings.vocab.tokens, embeddings.vectors_VE, format_)
        return
    with _opened(output) as file:
        write_vectors(file, embeddings.vocab.tokens, embeddings.vectors_VE, format_)


@contextmanager
def _opened(output: Path) -> Iterator[BinaryIO]:
    """A file that becomes `output` when all is written, compressed when its name says so (equal bytes every time)."""
    with replacing(output) as temporary, temporary.open("wb") as file:
        if output.suffix != PACKED:
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed:
            yield packed  # type: ignore[misc]  # GzipFile has all a BinaryIO is asked for here
