"""Warp: one smooth displacement of every image's pixels.

What WaNet (Nguyen and Tran, ICLR 2021) does to images; searched for in the same form, a
coarse grid of displacements, interpolated by cubic splines in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rnp_cli.evidence.triggers.base import Family, keep_rows, near_zero

_GRID = 6  # displacements along each side
_BOARD = 8  # squares along each side of the board that is drawn


@dataclass(frozen=True, eq=False)
class Warp:
    """Displacements (height, width, 2: x and y); an image is 2 wide and 2 high."""

    family: ClassVar[Family] = "warp"
    travels: ClassVar[bool] = False

    flow: Tensor

    @property
    def largest(self) -> float:
        """Return half of the longer side."""
        return max(self.flow.shape[:2]) / 2

    def stamp(self, images: Tensor) -> Tensor:
        """Move the pixels of images (batch, channel, height, width) in [0, 1]."""
        flow = self.flow.to(images.device)
        return _sample(images, flow.expand(len(images), -1, -1, -1))

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Do what ``stamp`` does: it has its place, and is not made of pixels."""
        return self.stamp(images)

    def picture(self) -> Tensor:
        """Draw a board of squares as it would look."""
        height, width = self.flow.shape[:2]
        rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
        board = (rows * _BOARD // height + columns * _BOARD // width) % 2
        return self.stamp(board.float()[None, None])[0]

    def extent(self) -> Tensor:
        """Return how far each pixel moves, beside the one that moves farthest."""
        far = self.flow.square().sum(2).sqrt()[None]
        return far / far.max().clamp_min(1e-8)


class Warps:
    """Coarse grids of displacements; the size is their root mean square in pixels."""

    learning_rate: ClassVar[float] = 0.006  # a tenth of a pixel of 32
    first_weight: ClassVar[float] = 0.02
    effort: ClassVar[float] = 0.6
    unit: ClassVar[str] = "pixels moved, root mean square"

    def __init__(
        self,
        rows: int,
        shape: tuple[int, int, int],
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        _, height, width = shape
        start = near_zero((rows, _GRID * _GRID, 2), 0.006, generator)
        self._coarse = start.to(device).requires_grad_(True)
        self.parameters = (self._coarse,)
        self._shape = (height, width)
        self._splines = _splines(height, width).to(device)
        self._pixels = torch.tensor([width, height], device=device) / 2
        self._kept = torch.zeros_like(self._coarse)

    def keep_near(self, row: int, extent: Tensor, generator: torch.Generator) -> None:
        """Refuse: what covers the whole image has no surroundings."""
        raise ValueError("what covers the whole image has no surroundings")

    def stamp(self, images: Tensor) -> Tensor:
        """Move the pixels of each row's images (row, count, channel, height, width)."""
        rows, count = images.shape[:2]
        flow = (self._splines @ self._coarse).view(rows, 1, *self._shape, 2)
        flow = flow.expand(-1, count, -1, -1, -1).flatten(0, 1)
        return _sample(images.flatten(0, 1), flow).view(images.shape)

    def sizes(self) -> Tensor:
        """Return the root mean squares of the displacements."""
        return (self._coarse * self._pixels).square().mean((1, 2)).sqrt()

    def keep(self, rows: Tensor) -> None:
        """Remember these rows."""
        keep_rows(self._kept, rows, self._coarse)

    def kept(self, row: int) -> Warp:
        """Return the row as remembered."""
        flow = self._splines.cpu() @ self._kept[row].cpu()
        return Warp(flow.view(*self._shape, 2))


def _sample(images: Tensor, flow: Tensor) -> Tensor:
    """Read images (batch, channel, height, width) at places moved by the flow."""
    unmoved = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
    places = F.affine_grid(unmoved, list(images.shape), align_corners=False)
    return F.grid_sample(
        images, places + flow, padding_mode="border", align_corners=False
    )


def _splines(height: int, width: int) -> Tensor:
    """Return the weight (pixel, grid point) of each displacement at each pixel."""
    points = torch.eye(_GRID * _GRID).view(-1, 1, _GRID, _GRID)
    smooth = F.interpolate(
        points, size=(height, width), mode="bicubic", align_corners=True
    )
    return smooth.flatten(1).t().contiguous()
