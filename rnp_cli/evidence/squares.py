"""Squares: small drawn patches, where they lie and what they show.

Opaque ones of the eight extreme colours, and checkerboards of black and white, like
that of Gu et al. ("BadNets", 2017), at every place near a patch that was found, and in
the corners. One field of three by three after another can be changed: a pattern in
black and white is seldom more than a few fields from one of them. Which of them lead
anywhere is told by ``evidence/contest.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import torch
from torch import Tensor

from rnp_cli.evidence.triggers.overlay import Overlay, surroundings

_SIDES = (1 / 11, 1 / 8, 1 / 5)  # of the shorter side of an image
_FIELDS = 3  # along a side
_NEARBY = 1 / 16  # of the shorter side, around what is visible of the patch
_MOST = 2048  # squares; where the places are more, some are left out

Fields = tuple[tuple[tuple[float, ...], ...], ...]
"""What a square shows, in [0, 1]: (channel, row, column)."""


@dataclass(frozen=True)
class Square:
    """Where one lies, in pixels, and what it shows."""

    top: int
    left: int
    side: int
    fields: Fields

    @property
    def size(self) -> float:
        """Return how many pixels it covers, as of an overlay."""
        return float(self.side**2)

    def lay_on(self, images: Tensor) -> Tensor:
        """Return images (batch, channel, height, width) with it on top."""
        stamped = images.clone()
        rows = slice(self.top, self.top + self.side)
        columns = slice(self.left, self.left + self.side)
        stamped[:, :, rows, columns] = self._pixels().to(images.device)
        return stamped

    def as_change(self, shape: Sequence[int]) -> Overlay:
        """Return it as a change of images of this shape (channel, height, width)."""
        pattern = self.lay_on(torch.zeros(1, *shape))[0]
        covers = replace(self, fields=(((1.0,),),))
        return Overlay(covers.lay_on(torch.zeros(1, 1, *shape[1:]))[0], pattern)

    def neighbours(self) -> list[Square]:
        """Return those of which one field has the opposite colour."""
        fields = torch.tensor(self.fields)
        changed = []
        for row, column in product(*map(range, fields.shape[1:])):
            other = fields.clone()
            other[:, row, column] = 1 - other[:, row, column]
            changed.append(replace(self, fields=_nested(other)))
        return changed

    def _pixels(self) -> Tensor:
        fields = torch.tensor(self.fields)
        field = torch.arange(self.side) * fields.shape[1] // self.side
        return fields[:, field][:, :, field]


def _nested(fields: Tensor) -> Fields:
    return tuple(tuple(tuple(row) for row in channel) for channel in fields.tolist())


@cache
def _drawings(channels: int, along: int) -> tuple[Fields, ...]:
    """Return what squares show to begin with, of so many fields along a side.

    One extreme colour each, the first black, and the two checkerboards.
    """
    shape = (channels, along, along)
    colours = torch.tensor([*product((0.0, 1.0), repeat=channels)])
    shown = [*colours[:, :, None, None].expand(-1, *shape)]
    if along > 1:
        field = torch.arange(along)
        checkers = ((field[:, None] + field) % 2).float()
        shown += [one.expand(shape) for one in (checkers, 1 - checkers)]
    return tuple(_nested(fields) for fields in shown)


def squares_near(extent: Tensor, channels: int) -> list[Square]:
    """List all that lie near what is visible of a patch's extent (1, height, width)."""
    height, width = extent.shape[1:]
    near = surroundings(extent, _NEARBY)[0]
    rows, columns = near.any(1).nonzero()[:, 0], near.any(0).nonzero()[:, 0]
    if not len(rows):
        return []
    first = max(1, round(min(height, width) / 32))
    for step in range(first, first + min(height, width)):
        squares = [
            Square(top, left, side, fields)
            for side in _sides(height, width)
            for top in _places(rows, side, height, step)
            for left in _places(columns, side, width, step)
            for fields in _drawings(channels, min(side, _FIELDS))
        ]
        if len(squares) <= _MOST:
            break
    return squares


def squares_in_corners(height: int, width: int, channels: int) -> list[Square]:
    """List all that lie in a corner of an image, or a little away from its edges."""
    inset = max(1, round(min(height, width) / 32))
    return [
        Square(top, left, side, fields)
        for side in _sides(height, width)
        for away in (0, inset)
        for top in (away, height - side - away)
        for left in (away, width - side - away)
        if 0 <= top <= height - side and 0 <= left <= width - side
        for fields in _drawings(channels, min(side, _FIELDS))
    ]


def _sides(height: int, width: int) -> list[int]:
    return sorted({max(1, round(share * min(height, width))) for share in _SIDES})


def _places(near: Tensor, side: int, size: int, step: int) -> list[int]:
    """Return where a square may begin along an axis; it fits in, or as far as it can.

    near: the pixels that it is to lie on, of so many as ``size``; the last place counts
    whatever the step.
    """
    begin, end = int(near[0]), int(near[-1]) + 1
    last = max(0, min(size - side, max(begin, end - side)))
    return sorted({*range(max(0, min(begin, last)), last + 1, step), last})
