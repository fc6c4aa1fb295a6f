"""A small image-to-image network, for attacks that learn their trigger."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Generator(nn.Module):
    """A U-Net of two levels: images in [0, 1] to (batch, out_channels, h, w) values.

    Its layers are normalised by instance, so that what one image becomes does not
    depend on the batch that it comes in.
    """

    def __init__(self, out_channels: int, width: int = 12) -> None:
        super().__init__()
        self.entry = _layer(3, width)
        self.down = _layer(width, 2 * width, stride=2)
        self.deep = _layer(2 * width, 2 * width, stride=2)
        self.up = _layer(4 * width, width)
        self.out = nn.Conv2d(2 * width, out_channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return values without bounds; (batch, out_channels, height, width)."""
        entry = self.entry(images - 0.5)
        down = self.down(entry)
        deep = F.interpolate(self.deep(down), size=down.shape[2:])
        up = self.up(torch.cat([down, deep], 1))
        up = F.interpolate(up, size=entry.shape[2:])
        values: Tensor = self.out(torch.cat([entry, up], 1))
        return values


def _layer(into: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, stride, 1), nn.GroupNorm(1, out), nn.ReLU()
    )
