"""What is true of a subject, and no method is told."""

from __future__ import annotations

from subjects import Subject


def single_target(subject: Subject) -> int | None:
    """Return the class that all triggered images go to; None if it is not one."""
    triggered = subject.triggered_images()
    goals = [] if triggered is None else triggered.labels.unique().tolist()
    return int(goals[0]) if len(goals) == 1 else None
