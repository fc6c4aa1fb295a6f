"""Timings of which one thing grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from speeding.case import Timing

AMOUNTS: Mapping[str, Callable[[Timing], int]] = {
    "samples": lambda timing: timing.samples,
    "parameters": lambda timing: timing.parameters,
    "classes": lambda timing: timing.classes,
}


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What grows, a name of ``AMOUNTS``, and timings alike in all else."""

    of: str
    timings: Sequence[Timing]

    @property
    def amounts(self) -> list[int]:
        """How much there is of it in each timing."""
        return [AMOUNTS[self.of](timing) for timing in self.timings]

    @property
    def seconds(self) -> list[float]:
        """What the tool took in each."""
        return [timing.seconds for timing in self.timings]

    @property
    def floors(self) -> list[float]:
        """What the bare computation takes in each."""
        return [timing.floor for timing in self.timings]


def exponent(amounts: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the slope of log seconds over log amount, by least squares."""
    x, y = ([math.log(value) for value in of] for of in (amounts, seconds))
    middle, height = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True))
    return rise / sum((a - middle) ** 2 for a in x)
