"""What ``rnp filter`` found, as data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

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


class SuspectRow(Part):
    """What is said of one file; error where it could not be read."""

    file: str = Field(description="below the folder of the suspects")
    predicted: int | None = Field(None, description="the original model's class")
    score: float | None = Field(None, description="high is suspect")
    p_value: float | None = Field(
        None, description="share of held-out clean images that score so high"
    )
    suspect: bool | None = None
    error: str = ""


class RateInfo(Part):
    """The false-positive rate that the decision keeps on clean images."""

    requested: float
    used: float = Field(description="the least that the held-out images can tell")
    holdout: int


class CountInfo(Part):
    """How many files there were. scored + unreadable are those named as images."""

    scored: int
    suspect: int
    unreadable: int
    passed_over: int = Field(description="not named as images, or links to others")
    suspect_by_class: tuple[int, ...] = Field(description="by predicted class")


class Filtering(Part):
    """Everything that the search for triggered images found, but the rows."""

    schema_version: Literal[1] = 1
    tool_version: str
    torch_version: str
    device: str
    seed: int
    suspects: str = Field(description="the folder")
    rate: RateInfo
    counts: CountInfo
    most_suspect: tuple[SuspectRow, ...] = Field(description="the first of them")
    unreadable: tuple[SuspectRow, ...] = Field(description="the first of them")
    output: str | None
    quarantine: str | None
    moved: bool
    model: ModelInfo
    input: InputInfo
    samples: SampleInfo
    accuracy: Accuracy
    sanitized: SanitizedInfo | None = Field(
        default=None, description="asked instead of unlearned models"
    )
    unlearn: UnlearnInfo | None
    stops: int = Field(description="models on the way down that were asked")
    not_checked: tuple[str, ...]
    settings: dict[str, dict[str, float | int]]
    run: RunInfo

    @model_validator(mode="after")
    def _holds_what_is_shown(self) -> Self:
        """Refuse suspects without a score, which no run writes."""
        if any(row.score is None or row.p_value is None for row in self.most_suspect):
            raise ValueError("a suspect must have a score and a p_value")
        return self
