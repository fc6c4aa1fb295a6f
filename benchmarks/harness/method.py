"""What a method gets and gives, and what it is to the harness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from subjects import Subject
from torch import nn

from rnp_cli.defense.samples import Samples


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method gets: files and images, and no trigger. work: a folder to write to.

    stem: of the names of the files that are written there.
    """

    subject: Subject
    samples: Samples
    seed: int
    device: str
    work: Path
    stem: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Attempt:
    """What came of it. model: None where the method gave none."""

    outcome: str
    model: nn.Module | None
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Method:
    """A defence, and the files that decide what it does."""

    attempt: Callable[[Task], Attempt]
    sources: Callable[[], list[Path]]
