"""What a trigger does to images, and how one of a family is searched for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

Family = Literal["overlay", "addition", "warp"]


class Change(Protocol):
    """What a recovered trigger does to images.

    travels: whether it may be shifted with the image that it is on, as a patch may;
    what covers the whole image has its place.
    """

    family: ClassVar[Family]
    travels: ClassVar[bool]

    @property
    def largest(self) -> float:
        """The size of a change that leaves nothing of where it may be."""

    def stamp(self, images: Tensor) -> Tensor:
        """Put it on images (batch, channel, height, width) in [0, 1]."""

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Put another one that is like it on each image."""

    def picture(self) -> Tensor:
        """Draw it: (channel or 1, height, width) in [0, 1]."""

    def extent(self) -> Tensor:
        """Draw where it is, and how strong: (1, height, width) in [0, 1]."""


class Candidates(Protocol):
    """Changes of one family on their way to being triggers, a row for each target.

    learning_rate: Adam's. first_weight: of the size in the loss, to begin with.
    effort: share of the usual number of steps that the search takes. unit: what a size
    is measured in.
    """

    learning_rate: ClassVar[float]
    first_weight: ClassVar[float]
    effort: ClassVar[float]
    unit: ClassVar[str]

    def __init__(
        self,
        rows: int,
        shape: tuple[int, int, int],
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        """Start ``rows`` of them, for images of ``shape`` (channel, height, width)."""

    @property
    def parameters(self) -> Sequence[Tensor]:
        """What the optimizer moves."""

    def keep_near(self, row: int, extent: Tensor, generator: torch.Generator) -> None:
        """Keep a row to the surroundings of a change that had this extent.

        Raises ValueError where the family has no place in the image.
        """

    def stamp(self, images: Tensor) -> Tensor:
        """Put each on its images (row, count, channel, height, width)."""

    def sizes(self) -> Tensor:
        """Return how large each is (row,), in the family's own unit."""

    def keep(self, rows: Tensor) -> None:
        """Remember these (row,), which are True, as they are now."""

    def kept(self, row: int) -> Change:
        """Return what was remembered, on the CPU."""


def near_zero(
    shape: tuple[int, ...], spread: float, generator: torch.Generator
) -> Tensor:
    """Draw where a search starts; on the CPU, so that devices agree."""
    return spread * torch.randn(shape, generator=generator)


@torch.no_grad()
def keep_rows(kept: Tensor, rows: Tensor, new: Tensor) -> None:
    """Put ``new`` into the rows of ``kept`` that are True.

    Unlike an assignment to chosen rows it need not know how many there are, which a GPU
    would have to be waited for.
    """
    chosen = rows.view(-1, *[1] * (new.ndim - 1))
    kept.copy_(torch.where(chosen, new, kept))
