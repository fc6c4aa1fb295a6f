"""What a family of networks is: one of these per file, all of them in the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rnp_cli.architectures.architecture import Candidate
from rnp_cli.architectures.shapes import Shapes, Unreadable


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a named member is to be built."""

    num_classes: int = 10
    in_channels: int = 3
    width: int | None = None  # channels after the first convolution; None: as published


@dataclass(frozen=True, kw_only=True)
class Family:
    """Networks that differ in depth and width only.

    ``read`` infers members from a checkpoint's names and shapes: the usual reading
    first, then those that differ only in what weights do not show (strides, pooling,
    activations). It raises Unreadable where the names are not this family's.
    ``member`` builds a published member by slug; ``slugs`` lists the best known, and
    ``member`` may know more, any Wide ResNet for example.
    """

    slugs: tuple[str, ...]
    read: Callable[[Shapes], Sequence[Candidate]]
    member: Callable[[str, Size], Candidate | None]

    def readings(self, shapes: Shapes) -> Sequence[Candidate]:
        """Return what ``read`` infers: nothing where the names are another family's."""
        try:
            return self.read(shapes)
        except Unreadable:
            return ()
