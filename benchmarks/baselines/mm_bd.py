"""MM-BD's detection: Wang, Xiang, Miller and Kesidis, "MM-BD", S&P 2024.

For each class the largest margin that some input in [0, 1] gives it is estimated, from
several random starts, without any clean sample. The largest statistic is held against a
gamma distribution that is fitted to the others; its p-value is that of the largest of
as many as there are classes, and at most .05 is a detection.

Departure: the margins are those that the tool's own search ends at (fewer starts and
steps than the paper's), so that only what is made of them differs; and the gamma
distribution is fitted by moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

FLAGGED = 0.05


@dataclass(frozen=True)
class Told:
    """The class with the largest margin, and its p-value."""

    target: int
    p_value: float

    @property
    def is_flagged(self) -> bool:
        """Whether the paper calls the model backdoored."""
        return self.p_value <= FLAGGED


def mm_bd(margins: Sequence[float]) -> Told:
    """Hold the largest margin, in logits, against the others."""
    values = torch.tensor(margins).double()
    target = int(values.argmax())
    others = torch.cat([values[:target], values[target + 1 :]]).clamp_min(1e-6)
    mean, variance = others.mean(), others.var().clamp_min(1e-12)
    shape, scale = mean.square() / variance, variance / mean
    below = torch.special.gammainc(shape, values[target].clamp_min(0) / scale)
    return Told(target, 1 - float(below) ** len(values))
