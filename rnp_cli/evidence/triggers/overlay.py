"""Overlay: a pattern blended in where a mask is; patches show as such.

After Wang et al., "Neural Cleanse", S&P 2019. Departure: the learning rate is high and
the start is a mask over the whole image. Small, sharply bounded triggers are found
within a hundred steps where a lower rate settles in a local optimum. A search may also
be kept to the surroundings of a patch that was found before: what a repair has left of
it lies there, and is seldom found from a mask over everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rnp_cli.evidence.triggers.base import Family, keep_rows, near_zero

_FIRST_MASK = math.log(0.25)  # a logit: a fifth, over the whole image
_AROUND = 2  # pixels beyond the mask that a varied trigger reaches
_VISIBLE = 0.3  # of the mask, where the pattern can be told
_NEARBY = 1 / 6  # of the shorter side of an image
_NEAR_MASK = 0.0  # a logit: half, over the surroundings of a patch
_COLOURS = 3.0  # largest spread of logits: most are then nearly black or full


@dataclass(frozen=True, eq=False)
class Overlay:
    """A mask (1, height, width) and a pattern (channel, height, width), in [0, 1].

    room: how many pixels the mask might cover, where it was kept to a part of them.
    """

    family: ClassVar[Family] = "overlay"
    travels: ClassVar[bool] = True

    mask: Tensor
    pattern: Tensor
    room: float | None = None

    @property
    def largest(self) -> float:
        """Return the number of pixels that it might cover."""
        return float(self.mask.numel()) if self.room is None else self.room

    def stamp(self, images: Tensor) -> Tensor:
        """Blend the pattern into images (batch, channel, height, width) in [0, 1]."""
        mask, pattern = self.mask.to(images.device), self.pattern.to(images.device)
        return (1 - mask) * images + mask * pattern

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Lay random pixels around the pattern, and instead of half of it.

        The attacker's pattern is near the one that was found, and seldom the same. On
        half of the images the random pixels are of one colour, on half black or full.
        """
        count, channels, height, width = images.shape
        device = images.device
        noise = torch.rand(images.shape, generator=generator)
        colour = torch.rand((count, channels, 1, 1), generator=generator)
        plain = torch.rand((count, 1, 1, 1), generator=generator) < 0.5
        noise = torch.where(plain, colour, noise)
        extreme = torch.rand((count, 1, 1, 1), generator=generator) < 0.5
        noise = torch.where(extreme, noise.round(), noise).to(device)
        kept = torch.rand((count, 1, height, width), generator=generator) < 0.5
        mask = self.mask.to(device)
        around = F.max_pool2d(mask, 2 * _AROUND + 1, stride=1, padding=_AROUND)
        kept = kept.to(device) & (mask > _VISIBLE)
        pixels = torch.where(kept, self.stamp(images), noise)
        return (1 - around) * images + around * pixels

    def picture(self) -> Tensor:
        """Draw the pattern as far as the mask lets it through."""
        return self.mask * self.pattern

    def extent(self) -> Tensor:
        """Return the mask."""
        return self.mask


class Overlays:
    """Masks and patterns, held as logits; the size is the mask's sum."""

    learning_rate: ClassVar[float] = 0.6
    first_weight: ClassVar[float] = 0.01
    effort: ClassVar[float] = 1.0
    unit: ClassVar[str] = "pixels covered"

    def __init__(
        self,
        rows: int,
        shape: tuple[int, int, int],
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        channels, height, width = shape
        mask = _FIRST_MASK + near_zero((rows, 1, height, width), 0.01, generator)
        pattern = near_zero((rows, channels, height, width), 0.01, generator)
        self._mask = mask.to(device).requires_grad_(True)
        self._pattern = pattern.to(device).requires_grad_(True)
        self.parameters = (self._mask, self._pattern)
        self._within = torch.ones(rows, 1, height, width, device=device)
        self._kept_mask = torch.ones_like(mask, device=device)
        self._kept_pattern = torch.full_like(pattern, 0.5, device=device)

    def keep_near(self, row: int, extent: Tensor, generator: torch.Generator) -> None:
        """Keep the row around the visible part of the extent; start at random colours.

        Some starts are nearly gray, others black and full: none is best everywhere.
        """
        near = surroundings(extent, _NEARBY)
        spread = _COLOURS * float(torch.rand((), generator=generator))
        pattern = near_zero(self._pattern.shape[1:], spread, generator)
        with torch.no_grad():
            self._within[row] = near.to(self._within.device)
            self._mask[row] += _NEAR_MASK - _FIRST_MASK
            self._pattern[row] = pattern.to(self._pattern.device)

    def _masks(self) -> Tensor:
        return self._within * self._mask.sigmoid()

    def stamp(self, images: Tensor) -> Tensor:
        """Blend each pattern into its images (row, count, channel, height, width)."""
        mask, pattern = self._masks(), self._pattern.sigmoid()
        return (1 - mask[:, None]) * images + (mask * pattern)[:, None]

    def sizes(self) -> Tensor:
        """Return the sums of the masks."""
        return self._masks().sum((1, 2, 3))

    def keep(self, rows: Tensor) -> None:
        """Remember these rows."""
        keep_rows(self._kept_mask, rows, self._masks())
        pattern = self._pattern.sigmoid()
        keep_rows(self._kept_pattern, rows, pattern)

    def kept(self, row: int) -> Overlay:
        """Return the row as remembered."""
        room = float(self._within[row].sum())
        mask, pattern = self._kept_mask[row].cpu(), self._kept_pattern[row].cpu()
        return Overlay(mask, pattern, room)


def surroundings(extent: Tensor, share: float) -> Tensor:
    """Return 1 on and around what is visible of an extent, and 0 elsewhere.

    Both are (1, height, width). share: how far around, of the shorter side.
    """
    reach = max(1, round(share * min(extent.shape[1:])))
    visible = (extent > _VISIBLE * extent.max()).float()
    return F.max_pool2d(visible, 2 * reach + 1, stride=1, padding=reach)
