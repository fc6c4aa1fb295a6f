"""What ``rnp trigger`` recovered, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rnp_cli.report.detection import Family
from rnp_cli.report.schema import (
    Accuracy,
    InputInfo,
    ModelInfo,
    Part,
    RunInfo,
    SampleInfo,
    SanitizedInfo,
    UnlearnInfo,
)


class RecoveredInfo(Part):
    """The smallest trigger found for a class, and what it does."""

    target: int | None = Field(description="None: away from the true class")
    found: bool
    norm: float = Field(description="its size, in the unit of its family")
    index: float | None = Field(
        description="how far its size lies below those of the other classes, in "
        "standard deviations; None where there is nothing to compare with"
    )
    images: int = Field(description="held-out clean images that it was tried on")
    success_where_found: float = Field(
        description="share of those images that it turns on the model that was inverted"
    )
    estimated_success: float = Field(
        description="estimated attack success rate on the model as it is"
    )
    estimated_success_sanitized: float | None = Field(
        description="the same on the sanitized file"
    )
    files: tuple[str, ...]


class TriggerReport(Part):
    """Everything that was recovered, and from what."""

    schema_version: Literal[1] = 1
    tool_version: str
    torch_version: str
    device: str
    seed: int
    inverted_on: Literal["original", "unlearned"]
    family: Family
    model: ModelInfo
    sanitized: SanitizedInfo | None
    input: InputInfo
    samples: SampleInfo
    accuracy: Accuracy
    unlearn: UnlearnInfo | None = Field(
        description="the way to the model that was inverted; floor is the middle that "
        "it stayed above"
    )
    triggers: tuple[RecoveredInfo, ...] = Field(min_length=1)
    not_checked: tuple[str, ...]
    settings: dict[str, dict[str, float | int] | float]
    run: RunInfo
