"""The last finished epoch of a run, enough to go on from it exactly: `checkpoint.safetensors`, the last one only."""

from typing import Any

from numpy.typing import NDArray

from rnncli.artifacts.bundle import ModelFile, load_model, save_model
from rnncli.artifacts.run_directory import CHECKPOINT_NAME, RunDirectory


def save_checkpoint(run: RunDirectory, tensors: dict[str, NDArray[Any]], state: dict[str, Any]) -> str:
    """Write tensors and a JSON state in place of the previous checkpoint; returns the SHA-256 of the file.

    A kill at any moment leaves the old checkpoint or the new one, whole.
    """
    return save_model(run.path / CHECKPOINT_NAME, ModelFile("checkpoint", tensors, state))


def load_checkpoint(run: RunDirectory) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
    """Tensors and state of the run's checkpoint, None when there is none. Raises ArtifactError when it is damaged."""
    path = run.path / CHECKPOINT_NAME
    if not path.exists():
        return None
    model = load_model(path, kind="checkpoint")
    return model.tensors, model.meta


def remove_checkpoint(run: RunDirectory) -> None:
    """Forget the checkpoint of a run that is finished."""
    (run.path / CHECKPOINT_NAME).unlink(missing_ok=True)
