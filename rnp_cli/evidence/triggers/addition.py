"""Addition: one change added to every image; faint image-wide triggers show as such.

A targeted universal perturbation (Moosavi-Dezfooli et al., CVPR 2017), made as small as
works by the weight on its size, as a mask is. The attacker's is stronger: what is found
is the faintest that works, and some attack with more than they train with (Barni et
al., ICIP 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rnp_cli.evidence.triggers.base import Family, keep_rows, near_zero

_STRONGEST = 3.0  # times what was found, when it is varied
_LEAST = 1e-8  # below every visible change; no division by zero


@dataclass(frozen=True, eq=False)
class Addition:
    """What is added: (channel, height, width), in shares of the range of a pixel."""

    family: ClassVar[Family] = "addition"
    travels: ClassVar[bool] = False

    change: Tensor

    @property
    def largest(self) -> float:
        """Return what turns gray to black or white."""
        return 0.5

    def stamp(self, images: Tensor) -> Tensor:
        """Add it to images (batch, channel, height, width) in [0, 1], and clip."""
        return (images + self.change.to(images.device)).clamp(0, 1)

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Add it more strongly to each image."""
        return added(images, self.change.to(images.device), generator)

    def picture(self) -> Tensor:
        """Draw it on gray, as strong as fits."""
        return 0.5 + self.change / (2 * self.change.abs().max()).clamp_min(_LEAST)

    def extent(self) -> Tensor:
        """Return how strong it is at each pixel, beside its strongest."""
        strength = self.change.abs().mean(0, keepdim=True)
        return strength / strength.max().clamp_min(_LEAST)


def added(images: Tensor, change: Tensor, generator: torch.Generator) -> Tensor:
    """Add a change, or one for each image, up to three times as strong, and clip."""
    drawn = torch.rand((len(images), 1, 1, 1), generator=generator)
    strength = (1 + (_STRONGEST - 1) * drawn).to(images.device)
    return (images + strength * change).clamp(0, 1)


class Additions:
    """Changes to add; the size is the root mean square, a share of a pixel's range."""

    learning_rate: ClassVar[float] = 0.02
    first_weight: ClassVar[float] = 1.0
    effort: ClassVar[float] = 0.6
    unit: ClassVar[str] = "root mean square change"

    def __init__(
        self,
        rows: int,
        shape: tuple[int, int, int],
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        start = near_zero((rows, *shape), 0.01, generator)
        self._change = start.to(device).requires_grad_(True)
        self.parameters = (self._change,)
        self._kept = torch.zeros_like(self._change)

    def keep_near(self, row: int, extent: Tensor, generator: torch.Generator) -> None:
        """Refuse: what covers the whole image has no surroundings."""
        raise ValueError("what covers the whole image has no surroundings")

    def stamp(self, images: Tensor) -> Tensor:
        """Add each to its images (row, count, channel, height, width), and clip."""
        return (images + self._change[:, None]).clamp(0, 1)

    def sizes(self) -> Tensor:
        """Return the root mean squares."""
        return self._change.square().mean((1, 2, 3)).sqrt()

    def keep(self, rows: Tensor) -> None:
        """Remember these rows."""
        keep_rows(self._kept, rows, self._change)

    def kept(self, row: int) -> Addition:
        """Return the row as remembered."""
        return Addition(self._kept[row].cpu())
