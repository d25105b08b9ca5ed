"""What inspect-gradients writes besides its document: the page, its figures, the lag matrix."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.artifacts.atomic import replacing
from rnncli.errors import UsageError
from rnncli.inspection.inspect import Inspection
from rnncli.inspection.sections import LN10, direction
from rnncli.reports.figures import figure_files
from rnncli.reports.page import page


def write_page(document: dict[str, Any], path: Path) -> None:
    """One HTML file that needs no network."""
    _write(
        path,
        page(document, f"Gradients of {document['input'].get('model') or document['input'].get('probe')}").encode(),
    )


def write_figures(document: dict[str, Any], folder: Path, format_: str) -> list[Path]:
    """Every figure as a file of its own; the folder is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror or error}") from None
    paths = []
    for name, data in figure_files(document, format_).items():
        paths.append(folder / f"{name}.{format_}")
        _write(paths[-1], data)
    return paths


def write_matrix(inspection: Inspection, path: Path) -> None:
    """The lag matrix of every layer and direction as .npz: log10 |delta_{t,t-l}|, float32, one column for each loss.

    Arrays, with L0_forward for layer 0: L0_forward.norm_log10 (lags, losses), -inf an exact zero, NaN no such lag;
    L0_forward.row and L0_forward.step (losses,), the sequence and the step of each loss in the chain's own time.
    """
    arrays: dict[str, Any] = {}
    for one in inspection.found:
        name = f"L{one.chain.place.layer}_{direction(one.chain)}"
        arrays[f"{name}.norm_log10"] = (one.lags.log_norm_LA / LN10).astype(np.float32)
        arrays[f"{name}.row"], arrays[f"{name}.step"] = one.lags.row_A, one.lags.at_A
    content = BytesIO()
    np.savez_compressed(content, **arrays)
    _write(path, content.getvalue())


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)
