"""The JSON document of inspect-gradients."""

from dataclasses import dataclass
from typing import Any

from rnncli.results import Result


@dataclass(frozen=True)
class InspectionResult(Result):
    """What inspect-gradients measured; keys are documented in docs/gradients.md."""

    schema_version: int
    tool: dict[str, Any]
    input: dict[str, Any]
    architecture: dict[str, Any]
    verdict: dict[str, Any]
    layers: list[dict[str, Any]]
    total_adjoint: dict[str, Any]
    lag_matrix: dict[str, Any] | None
    influence: list[dict[str, Any]]
    norms: dict[str, Any] | None
    update_ratio: dict[str, Any] | None
    data: dict[str, Any]
    context_use: dict[str, Any] | None
    trajectory: list[dict[str, Any]]
    what_if: list[dict[str, Any]]
    prove: dict[str, Any] | None
    self_checks: dict[str, Any]
