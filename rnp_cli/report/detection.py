"""What ``rnp detect`` found, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rnp_cli.report.schema import (
    Accuracy,
    InputInfo,
    ModelInfo,
    Part,
    RunInfo,
    SampleInfo,
    TargetInfo,
    UnlearnInfo,
)


class VerdictInfo(Part):
    """Whether there is evidence of a backdoor, and of which kind."""

    level: Literal["none", "weak", "strong"]
    kind: Literal["all-to-one", "all-to-all"] | None
    target: int | None = Field(description="the class that the trigger leads to")
    index: float = Field(
        description="of the target's mask, or the nearest class's, in its spread"
    )
    p_inversion: float
    p_label: float | None
    p_value: float = Field(description="of both witnesses together")


class TriggerInfo(Part):
    """The smallest trigger that inversion found for a class."""

    target: int | None = Field(description="None: away from the true class")
    norm: float = Field(description="sum of the mask, in pixels")
    success: float = Field(description="estimated attack success rate, on the holdout")
    found: bool


class Detection(Part):
    """Everything that the search for a backdoor found."""

    schema_version: Literal[1] = 1
    tool_version: str
    torch_version: str
    device: str
    seed: int
    verdict: VerdictInfo
    model: ModelInfo
    input: InputInfo
    samples: SampleInfo
    accuracy: Accuracy
    label: TargetInfo | None = Field(
        description="where new mistakes go early in unlearning; None: not telling"
    )
    unlearn: UnlearnInfo | None
    unlearn_failure: str | None
    triggers: tuple[TriggerInfo, ...]
    not_checked: tuple[str, ...]
    settings: dict[str, dict[str, float | int]]
    run: RunInfo
