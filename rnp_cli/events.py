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

    ``clean_accuracy`` is a share in [0, 1] on the holdout: in eval mode, but for the
    recovery, whose masked model is measured as it is fitted, with batch statistics.
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
