"""What all reports have in common: the parts that say what was run on what."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rnp_cli.report.plain import in_json


class Part(BaseModel):
    """A part of a report: frozen, and without fields that nobody declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def as_json(report: BaseModel) -> str:
    """Write a whole report."""
    return in_json(report.model_dump_json(indent=2)) + "\n"


class ModelInfo(Part):
    """The checkpoint as it came, and what it was taken for."""

    file: str
    sha256: str
    format: str
    wrapper: str
    prefix: str
    dropped: tuple[str, ...]
    findings: tuple[str, ...]
    architecture: str
    matched_by: Literal["names", "order", "given", "graph"]
    parameters: int
    channels: int


class InputInfo(Part):
    """How images were fed to the network."""

    channels: int
    size: tuple[int, int]
    fit: str
    convention: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    output: str


class SampleInfo(Part):
    """The clean samples."""

    count: int
    sha256: str | None = Field(
        default=None,
        description="of the sorted list that sha256sum makes of the files used",
    )
    fit: int
    holdout: int
    num_classes: int
    class_names: tuple[str, ...]
    labels: Literal["folder", "from-model"]
    crop_padding: int
    flip: bool


class Accuracy(Part):
    """Clean accuracy, with the Wilson interval at 95 %."""

    value: float
    low: float
    high: float
    samples: int

    @classmethod
    def of(cls, value: float, samples: int) -> Accuracy:
        """Add the interval to a share measured on so many samples."""
        z = 1.959964
        spread = 1 + z * z / samples
        middle = (value + z * z / (2 * samples)) / spread
        noise = value * (1 - value) / samples + z * z / (4 * samples * samples)
        half = z * math.sqrt(noise) / spread
        low, high = max(0.0, middle - half), min(1.0, middle + half)
        return cls(value=value, low=low, high=high, samples=samples)


class UnlearnEpoch(Part):
    """One epoch of the ascent."""

    clean_accuracy: float
    loss: float
    learning_rate: float
    mistaken: tuple[int, ...] = Field(
        default=(), description="wrong predictions on all clean samples, by class"
    )


class UnlearnInfo(Part):
    """How the clean skill went."""

    floor: float
    epochs: tuple[UnlearnEpoch, ...]
    backoffs: int


class TargetInfo(Part):
    """The class that an unlearned model favors, and the share of each class.

    unlearnings: how many the shares are the mean of.
    """

    target: int
    share: float
    shares: tuple[float, ...]
    unlearnings: int = 1


class SanitizedInfo(Part):
    """A sanitized file of the model, which the model was held against."""

    file: str
    sha256: str
    format: str
    findings: tuple[str, ...]
    accuracy: Accuracy


class RunInfo(Part):
    """What may differ between two runs that are otherwise equal."""

    started: str
    seconds: float
    stages: dict[str, float]
    sources: dict[str, str] = Field(
        default={}, description="where options and knobs without their default are from"
    )
