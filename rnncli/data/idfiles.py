"""Token ids as files: a folder that is complete or absent, named by what it was made from."""

import hashlib
import json
import mmap
import os
import shutil
import tempfile
import time
import unicodedata
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary, VocabularyReport
from rnncli.errors import ArtifactError

FORMAT = 1  # raise it when the files change
IDS, OFFSETS, VOCABULARY, META = "ids.i32", "offsets.i64", "vocabulary.json", "meta.json"
UNFINISHED = "unfinished-"
ABANDONED_AFTER_SECONDS = 2 * 24 * 3600.0


@dataclass(frozen=True, eq=False)
class IdStore:
    """A corpus as numbers: line i holds the tokens ids[offsets[i]:offsets[i+1]].

    Both arrays are memory-mapped, private to the process: writing to them changes no file.
    """

    ids: NDArray[np.int32]  # (tokens,)
    offsets: NDArray[np.int64]  # (lines + 1,)
    vocab: Vocabulary
    report: VocabularyReport
    sha256: str  # of the raw input bytes; of several inputs, of their digests

    @property
    def tokens(self) -> int:
        return len(self.ids)


def default_cache() -> Path:
    """Where id stores are kept: XDG_CACHE_HOME or ~/.cache, else a folder of this user under the temporary one."""
    xdg = os.environ.get("XDG_CACHE_HOME")
    home = Path(xdg) if xdg else Path("~/.cache").expanduser()
    user = os.getuid() if hasattr(os, "getuid") else "user"
    candidates = [home / "rnncli" / "corpora", Path(tempfile.gettempdir()) / f"rnncli-{user}" / "corpora"]
    return next((folder for folder in candidates if is_usable(folder)), candidates[0])


def is_usable(folder: Path) -> bool:
    """Make the folder if need be; true when we may write there and nobody else owns it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ours = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except (OSError, RuntimeError):
        return False
    return ours and os.access(folder, os.W_OK)


def store_name(sha256: str, tokenizer: Tokenizer, min_count: int, max_vocab: int | None, unknown: bool) -> str:
    """The folder name of a store: a hash of everything its content depends on."""
    made_from = {
        "format": FORMAT,
        "inputs": sha256,
        "tokenizer": tokenizer.to_json(),
        "unicode": [unicodedata.unidata_version, pa.__version__],  # new characters change case and kind
        "limits": [min_count, max_vocab, unknown],
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:32]


def new_folder(parent: Path) -> Path:
    """A fresh folder to write a store into; leftovers of runs that were killed days ago are removed."""
    for old in parent.glob(f"{UNFINISHED}*"):
        try:
            if time.time() - old.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=parent))


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for what does not fit in memory, beside the id stores; it goes with the context."""
    cache = default_cache()
    folder = new_folder(cache if is_usable(cache) else Path(tempfile.gettempdir()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def release(*arrays: NDArray[Any]) -> None:
    """Let go of the memory that pages of memory-mapped arrays take; they are read again when they are needed."""
    for array in arrays:
        base: Any = array
        while base is not None and not isinstance(base, mmap.mmap):
            base = getattr(base, "base", None) if isinstance(base, np.ndarray) else getattr(base, "obj", None)
        if base is not None and hasattr(base, "madvise"):
            base.madvise(mmap.MADV_DONTNEED)


def seal(folder: Path, vocab: Vocabulary, report: VocabularyReport, sha256: str) -> None:
    """Write the vocabulary and, last, the description that makes the folder a store."""
    (folder / VOCABULARY).write_bytes(vocab.to_bytes())
    sizes = {name: (folder / name).stat().st_size for name in (IDS, OFFSETS, VOCABULARY)}
    meta = {"format": FORMAT, "sha256": sha256, "report": asdict(report), "sizes": sizes}
    (folder / META).write_text(json.dumps(meta), encoding="utf-8")


def publish(folder: Path, final: Path) -> None:
    """Give a sealed folder its name; a damaged store in its place goes, a sound one (of another process) stays."""
    if load(final) is not None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    shutil.rmtree(final, ignore_errors=True)
    try:
        folder.rename(final)
    except OSError:
        if load(final) is None:  # nobody else was quicker: a real failure
            raise
        shutil.rmtree(folder, ignore_errors=True)


def load(folder: Path, delete_after: bool = False) -> IdStore | None:
    """The store in a folder, None when there is none or its files are not those it describes.

    With `delete_after` the folder goes when the store does.
    """
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text(encoding="utf-8"))
        if meta["format"] != FORMAT:
            return None
        if any((folder / name).stat().st_size != meta["sizes"][name] for name in (IDS, OFFSETS, VOCABULARY)):
            return None
        vocab = Vocabulary.from_bytes((folder / VOCABULARY).read_bytes())
        report = VocabularyReport(**meta["report"])
        # Copy on write, so that kernels see an ordinary writable array and the file stays as it is.
        ids = np.asarray(np.memmap(folder / IDS, dtype=np.int32, mode="c"))
        offsets = np.asarray(np.memmap(folder / OFFSETS, dtype=np.int64, mode="c"))
    except (OSError, ValueError, TypeError, KeyError, ArtifactError):
        return None
    if int(offsets[0]) != 0 or int(offsets[-1]) != len(ids):
        return None
    store = IdStore(ids, offsets, vocab, report, str(meta["sha256"]))
    if delete_after:
        weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
    return store
