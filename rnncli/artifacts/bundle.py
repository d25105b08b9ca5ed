"""One self-describing, pickle-free model file: a safetensors file with one metadata entry, `rnncli`.

The entry is JSON with sorted keys: `format` ("rnncli"), `format_version`, `kind`, `meta` (config, labels, provenance)
and `sha256`, the SHA-256 of this very file with the 64 digits of `sha256` replaced by zeros. So a flipped bit anywhere,
header and padding included, is noticed, and equal inputs give equal bytes. `format`, `format_version` and `sha256` keep
their meaning in every later version.

Source of the container: the safetensors format, version 0.x (8 bytes of header length, JSON header, raw tensors).
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from rnncli.artifacts.atomic import replacing, sha256_file
from rnncli.errors import ArtifactError, RnncliError, UsageError

MODEL_NAME = "model.safetensors"
FORMAT, FORMAT_VERSION = "rnncli", 1
METADATA_KEY = "rnncli"
NO_DIGEST = "0" * 64
CHUNK = 1 << 20
WITH_ARTICLE = {
    "classifier": "a classifier",
    "regressor": "a regressor",
    "tagger": "a tagger",
    "language-model": "a language model",
    "embeddings": "an embeddings model",
    "checkpoint": "a checkpoint",
}


def with_article(kind: str) -> str:
    """A kind of model file in a sentence."""
    return WITH_ARTICLE.get(kind, f"a model of kind {kind!r}")


@dataclass
class ModelFile:
    """What a model file holds. `meta` is plain JSON; its keys come back sorted. Strings travel as uint8 tensors."""

    kind: str  # a key of WITH_ARTICLE
    tensors: dict[str, NDArray[Any]]
    meta: dict[str, Any] = field(default_factory=dict)


def save_model(path: Path, model: ModelFile) -> str:
    """Write a model file under a temporary name, sync and rename it; returns the SHA-256 of the file.

    Raises RnncliError when the file cannot be written, ValueError when `meta` is not strict JSON.
    """
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "kind": model.kind, "meta": model.meta}
    text = json.dumps({**about, "sha256": NO_DIGEST}, sort_keys=True, allow_nan=False, separators=(",", ":"))
    tensors = {name: np.ascontiguousarray(model.tensors[name]) for name in sorted(model.tensors)}
    for name, tensor in tensors.items():
        tensors[name] = tensor.reshape(model.tensors[name].shape)  # ascontiguousarray makes 0-d arrays 1-d
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={METADATA_KEY: text})
        except SafetensorError as error:
            raise RnncliError(f"{path}: cannot be written: {error}") from error
        with temporary.open("r+b") as file:
            at = _digest_position(temporary, NO_DIGEST)
            digest = _digest(temporary, at)
            file.seek(at)
            file.write(digest.encode("ascii"))
        return sha256_file(temporary)


def load_model(path: Path, kind: str | None = None) -> ModelFile:
    """Read and check a model file; `path` is the file or the run folder that holds `model.safetensors`.

    Raises UsageError when there is no such file; ArtifactError when it is not a model of rnncli, damaged, written by a
    newer version, or of another kind than `kind`.
    """
    if path.is_dir():
        folder, path = path, path / MODEL_NAME
        if not path.exists():
            raise UsageError(f"{folder}: no {MODEL_NAME} in this folder; name a finished run or a model file")
    if not path.exists():
        raise UsageError(f"{path}: no such model; name a run folder or a model file")
    try:
        return _load(path, kind)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise ArtifactError(f"{path}: not a model file, or a damaged one ({_one_line(error)})") from None


def _load(path: Path, kind: str | None) -> ModelFile:
    with safe_open(path, framework="numpy") as file:
        text = (file.metadata() or {}).get(METADATA_KEY)
        if text is None:
            raise ArtifactError(f"{path}: a safetensors file that rnncli did not write, or a damaged one")
        about = _checked_header(path, text)
        if about["format_version"] > FORMAT_VERSION:
            raise ArtifactError(f"{path}: was written by a newer rnncli; upgrade rnncli to read it")
        if kind is not None and about["kind"] != kind:
            raise ArtifactError(
                f"{path}: is {with_article(str(about['kind']))}; this command needs {with_article(kind)}"
            )
        # Indexing copies out of the mapping: the arrays outlive the file.
        tensors = {name: np.array(file.get_tensor(name)) for name in sorted(file.keys())}
    return ModelFile(kind=about["kind"], tensors=tensors, meta=about["meta"])


def _checked_header(path: Path, text: str) -> dict[str, Any]:
    """The `rnncli` entry, once its own form and the digest of the file were found right."""
    damaged = ArtifactError(f"{path}: damaged: its checksum does not agree; restore it or train again")
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        raise damaged from None
    types = {"format": str, "format_version": int, "kind": str, "meta": dict, "sha256": str}
    if not isinstance(about, dict) or any(type(about.get(key)) is not kind for key, kind in types.items()):
        raise ArtifactError(f"{path}: damaged: its header is incomplete; restore it or train again")
    at = _digest_position(path, about["sha256"])
    if at < 0 or _digest(path, at) != about["sha256"]:
        raise damaged
    if about["format"] != FORMAT:
        raise ArtifactError(f"{path}: not a model of rnncli")
    return about


def _digest_position(path: Path, digest: str) -> int:
    r"""Where in the file the digits of `sha256` begin, -1 when they are not in its header.

    `sha256` is the last key of the entry, so its last occurrence is the one that counts; the quotes are escaped because
    the entry is JSON inside JSON.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
    before = rb"\"sha256\":\""
    at = header.rfind(before + digest.encode() + rb"\"")
    return 8 + at + len(before) if at >= 0 and len(digest) == len(NO_DIGEST) else -1


def _digest(path: Path, at: int) -> str:
    """The SHA-256 of a file whose 64 bytes from `at` on count as the digit 0."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(at))
        file.read(len(NO_DIGEST))
        digest.update(NO_DIGEST.encode("ascii"))
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
