"""Stopping and going on: what an interrupted run says, and whether a run may go on from a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rnncli.artifacts.checkpoint import load_checkpoint
from rnncli.artifacts.run_directory import RunDirectory
from rnncli.config.base import StrictModel
from rnncli.errors import ExitCode, InterruptedRunError, Terminated, UsageError

FREE = {"threads", "memory_limit"}  # keys that do not change the result


def run_identity(config: StrictModel, inputs: list[str | None]) -> dict[str, Any]:
    """What must agree between a checkpoint and the run that resumes it: the config and the SHA-256 of the inputs."""
    return {"config": config.model_dump(mode="json", exclude=FREE), "inputs": inputs}


def check_identity(stored: dict[str, Any], own: dict[str, Any]) -> None:
    """Raise UsageError naming the first config key that differs, or the input that changed."""
    before, now = _flat(stored["config"]), _flat(own["config"])
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise UsageError(
                f"--resume: {key} is {now.get(key)!r} but was {before.get(key)!r} when the run began; "
                "set it back, or use --force to start afresh"
            )
    if stored["inputs"] != own["inputs"]:
        raise UsageError("--resume: an input file changed since the run began; use --force to start afresh")


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


@contextmanager
def explained_interruption(folder: RunDirectory) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into an error that says what was kept."""
    try:
        yield
    except KeyboardInterrupt as signal:
        code = ExitCode.TERMINATED if isinstance(signal, Terminated) else ExitCode.INTERRUPTED
        stored = load_checkpoint(folder)
        if stored is None:
            raise InterruptedRunError("interrupted before the first epoch ended; nothing was kept", code) from None
        epoch = stored[1]["epoch"]
        raise InterruptedRunError(
            f"interrupted; epoch {epoch} is kept in {folder.path}, --resume goes on from there", code
        ) from None
