"""What the core announces while it works; whoever listens decides how to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StageStarted:
    """A stage begins; ``total`` is its number of steps where that is known."""

    stage: str
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """One step of a stage (an epoch, a candidate) is done.

    ``clean_accuracy`` is a share in [0, 1] on the holdout, measured in eval mode.
    """

    stage: str
    step: int
    clean_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class StageDone:
    """A stage ends; ``summary`` is one line for people."""

    stage: str
    summary: str


Event = StageStarted | StepDone | StageDone
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
