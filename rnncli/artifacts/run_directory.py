"""The folder of one run: taken into use safely, written atomically, left clean when the run fails."""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import rnncli
from rnncli.artifacts.atomic import TEMPORARY_SUFFIX, replacing, sha256_file
from rnncli.errors import ArtifactError, RnncliError, UsageError

MODEL_NAME = "model.safetensors"
CHECKPOINT_NAME = "checkpoint.safetensors"
HISTORY_NAME = "history.jsonl"
FILM_NAME = "inspection.jsonl"  # what --inspect-every recorded
MANIFEST_NAME = "manifest.json"
MARK_TRIES = 20
# Every name a run may write: `--force` removes these and nothing else.
KNOWN_NAMES = frozenset(
    {MODEL_NAME, CHECKPOINT_NAME, HISTORY_NAME, FILM_NAME, MANIFEST_NAME}
    | {"config.yaml", "result.json", "metrics.json", "report.json", "report.html", "gradients.json"}
    | {"vectors.txt", "vectors.bin", "vocabulary.tsv", "predictions.jsonl"}
)


@dataclass(frozen=True)
class InputFile:
    """One file a run read, as it was when it was read; standard input has neither digest nor size."""

    path: str
    sha256: str | None
    bytes: int | None


def describe_input(path: Path) -> InputFile:
    """Name, SHA-256 and size of an input file."""
    if not path.is_file():
        return InputFile(str(path), None, None)
    return InputFile(str(path), sha256_file(path), path.stat().st_size)


class RunDirectory:
    """An output folder in use by one run. Use it as a context: when the run fails before a model or a checkpoint was
    written, everything the run wrote is removed again, and the folder too if the run made it.
    """

    def __init__(self, path: Path, made: Sequence[Path] = ()) -> None:
        self.path = path
        self._made = list(made)  # folders this run created, innermost first
        self._written: set[str] = set()
        self._writes = False  # made by `create`: others may know that the folder is in use
        self._mark: int | None = None
        self._started = datetime.now(UTC)
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @classmethod
    def create(cls, path: Path, force: bool = False, resume: bool = False) -> "RunDirectory":
        """Take a folder into use. A new or empty one is fine; a used one needs `resume` (files stay) or `force`
        (files of an earlier run are removed, and only those: see KNOWN_NAMES).

        Raises UsageError when the folder is in the way or cannot be written to.
        """
        if force and resume:
            raise UsageError("--resume and --force exclude each other; choose one")
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path}: is a file; the output must be a folder")
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            path.mkdir(parents=True, exist_ok=True)
            present = [file for file in path.iterdir() if not file.name.endswith(TEMPORARY_SUFFIX)]
        except OSError as error:
            raise UsageError(f"{path}: cannot be used as output folder: {error.strerror or error}") from None
        if present and not (force or resume):
            raise UsageError(f"{path}: folder is not empty; --resume goes on with the run in it, --force overwrites it")
        run = cls(path, made)
        run._writes = True
        run._probe()
        for leftover in path.glob(f".*{TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)
        if force:
            for name in KNOWN_NAMES:
                run._remove(name)
        return run

    def _probe(self) -> None:
        """Write, sync and remove a byte, so that a full or read-only disk is met before hours of training."""
        probe = self.path / f".probe.{os.getpid()}{TEMPORARY_SUFFIX}"
        try:
            try:
                with probe.open("wb") as file:
                    file.write(b"\n")
                    os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            self._remove_made()
            raise UsageError(f"{self.path}: cannot be written to: {error.strerror or error}") from None

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a file of the run in one step; returns its path."""
        path = self._path_of(name)
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        return path

    def write_text(self, name: str, text: str) -> Path:
        """Write UTF-8 text in one step, line ends as given."""
        return self.write_bytes(name, text.encode("utf-8"))

    def write_json(self, name: str, obj: Any) -> Path:
        """Write strict JSON (a NaN is a ValueError) in one step: keys in their order, two spaces, final newline."""
        return self.write_text(name, json.dumps(obj, indent=2, allow_nan=False, ensure_ascii=False) + "\n")

    def append_history(self, obj: Mapping[str, Any], name: str = HISTORY_NAME) -> None:
        """Add one line to history.jsonl and sync it. Call it before the checkpoint of the same epoch is saved."""
        path = self._path_of(name)
        try:
            with path.open("ab") as file:
                file.write((json.dumps(obj, allow_nan=False, ensure_ascii=False) + "\n").encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RnncliError(f"{path}: cannot be written: {error.strerror or error}") from error

    def history(self, name: str = HISTORY_NAME) -> list[dict[str, Any]]:
        """The rows of history.jsonl; a last line cut short by a kill is left out."""
        path = self.path / name
        if not path.exists():
            return []
        rows = []
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                rows.append(json.loads(line))
            except ValueError:
                raise ArtifactError(f"{path}:{len(rows) + 1}: damaged; not a JSON object") from None
        return rows

    def keep_history(self, n: int) -> None:
        """Cut history.jsonl to its first `n` rows, the epochs a checkpoint knows.

        Raises ArtifactError when it has fewer.
        """
        rows = self.history()
        if len(rows) < n:
            raise ArtifactError(f"{self.path / HISTORY_NAME}: {len(rows)} rows, but the checkpoint is at epoch {n}")
        if rows or n:
            self._write_rows(HISTORY_NAME, rows[:n])

    def keep_film(self, epoch: int) -> None:
        """Cut inspection.jsonl, where there is one, to what was recorded up to the end of an epoch."""
        if (self.path / FILM_NAME).exists():  # a kill may have left part of a row
            self._write_rows(FILM_NAME, [row for row in self.history(FILM_NAME) if row["epoch"] <= epoch])

    def _write_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        lines = (json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n" for row in rows)
        self.write_text(name, "".join(lines))

    def manifest(
        self, seed: int, threads: int, inputs: Sequence[InputFile | Path], command: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Write manifest.json, how and from what the run was made, and return it.

        Inputs given as paths are hashed now; `describe_input` hashes them when they are read. Seconds count from
        `create`; memory is the peak of the process.
        """
        record = {
            "rnncli": rnncli.__version__,
            "python": platform.python_version(),
            "numpy": _version("numpy"),
            "numba": _version("numba"),
            "platform": platform.platform(),
            "command": list(sys.argv if command is None else command),
            "seed": seed,
            "threads": threads,
            "started": self._started.isoformat(timespec="seconds"),
            "inputs": [asdict(describe_input(item) if isinstance(item, Path) else item) for item in inputs],
            "wall_seconds": round(time.perf_counter() - self._wall, 3),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "peak_memory_mb": _peak_memory_mb(),
        }
        self.write_json(MANIFEST_NAME, record)
        return record

    def __enter__(self) -> "RunDirectory":
        if self._writes:
            self._mark = _mark(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None or any((self.path / name).exists() for name in (MODEL_NAME, CHECKPOINT_NAME)):
                return
            for name in self._written:
                self._remove(name)
            self._remove_made()
        finally:
            if self._mark is not None:
                os.close(self._mark)
                self._mark = None

    def _path_of(self, name: str) -> Path:
        if name not in KNOWN_NAMES:
            raise ValueError(f"{name!r} is not in KNOWN_NAMES: --force would not remove it")
        self._written.add(name)
        return self.path / name

    def _remove(self, name: str) -> None:
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{self.path / name}: cannot be removed: {error.strerror or error}") from None

    def _remove_made(self) -> None:
        """Remove the folders this run made, as far as they are empty."""
        with suppress(OSError):
            for folder in self._made:
                folder.rmdir()


def in_use(path: Path) -> bool | None:
    """Whether a run writes into this folder at the moment, in any process; None where the system cannot tell.

    It looks at the mark without keeping anybody from setting one.
    """
    try:
        import fcntl

        folder = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the close below
    except BlockingIOError:
        return True
    except OSError:  # some network disks
        return None
    finally:
        os.close(folder)
    return False


def _mark(path: Path) -> int | None:
    """Mark a folder as in use until the descriptor is closed or the process ends, however it ends.

    A shared lock: it excludes nobody. Where there are no locks there is no mark, None.
    """
    try:
        import fcntl

        folder = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    for _ in range(MARK_TRIES):
        try:
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # `in_use` looks; it is quick
            time.sleep(0.01)
        except OSError:
            break
        else:
            return folder
    os.close(folder)
    return None


def _version(package: str) -> str | None:
    """A package's version without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _peak_memory_mb() -> float | None:
    """Peak resident memory of this process in MiB (Linux counts in KiB, macOS in bytes), None where it is unknown."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
