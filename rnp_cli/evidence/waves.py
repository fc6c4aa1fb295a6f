"""Waves: gray sinusoids over the whole image, faint, of few cycles.

A pattern that covers the image can be one of them: that of SIG is (Barni, Kallas and
Tondi, "A New Backdoor Attack in CNNs by Training Set Corruption Without Label
Poisoning", ICIP 2019). What gradients find of it is another, smaller change that shares
some of its directions; the wave itself works on when that is unlearned. There are few
of them, as many as a map of what a network's answers depend on has points (Yin et al.,
"A Fourier Perspective on Model Robustness in Computer Vision", NeurIPS 2019), so that
all can be tried. Which of them lead anywhere is told by ``evidence/contest.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rnp_cli.evidence.triggers.addition import Addition, added

_CYCLES = 8  # in an image, at most; each axis
_PHASES = 4
_FINER = 16  # phases, when one is shifted
_STRENGTH = 0.07  # root mean square, in shares of the range of a pixel


@dataclass(frozen=True)
class Wave:
    """Cycles from the top to the bottom and from left to right; phase in turns."""

    down: int
    across: int
    phase: float

    @property
    def size(self) -> float:
        """Return its root mean square, as of an addition."""
        return _STRENGTH

    def lay_on(self, images: Tensor) -> Tensor:
        """Return images (batch, channel, height, width) in [0, 1] with it added."""
        return self.as_change(images.shape[1:]).stamp(images)

    def as_change(self, shape: Sequence[int]) -> AddedWave:
        """Return it as a change of images of this shape (channel, height, width)."""
        return AddedWave(self.drawn(shape, torch.zeros(1))[0], self)

    def drawn(self, shape: Sequence[int], later: Tensor) -> Tensor:
        """Draw it as late in its phase as that (count): (count, channel, ...)."""
        height, width = shape[1:]
        rows = self.down * torch.arange(height)[:, None] / height
        turns = rows + self.across * torch.arange(width) / width + self.phase
        waves = (2 * math.pi * (turns + later[:, None, None])).sin()
        waves = math.sqrt(2) * _STRENGTH * waves
        return waves[:, None].expand(-1, *shape).contiguous()

    def neighbours(self) -> list[Wave]:
        """Return those of a phase a little before and after."""
        return [
            replace(self, phase=(self.phase + shift / _FINER) % 1) for shift in (-1, 1)
        ]


@dataclass(frozen=True, eq=False)
class AddedWave(Addition):
    """A wave that is added: what it is like has another phase, and is stronger."""

    wave: Wave

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Add it in another phase, and more strongly, to each image."""
        later = torch.rand(len(images), generator=generator)
        drawn = self.wave.drawn(images.shape[1:], later).to(images.device)
        return added(images, drawn, generator)


def waves(height: int, width: int) -> list[Wave]:
    """List all directions and cycles that pixels show, each in some phases."""
    down = min(_CYCLES, (height - 1) // 2)
    across = min(_CYCLES, (width - 1) // 2)
    return [
        Wave(rows, columns, phase / _PHASES)
        for rows in range(down + 1)
        for columns in range(-across if rows else 1, across + 1)
        for phase in range(_PHASES)
    ]
