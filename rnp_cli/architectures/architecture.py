"""What the room hands out (Architecture) and what its families offer (Candidate)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rnp_cli.architectures.steps import Steps

if TYPE_CHECKING:
    from torch import nn

MatchedBy = Literal["names", "order", "given", "graph"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network that fits a checkpoint, and how its tensors are named there.

    ``build`` makes a fresh module with random weights. ``key_map`` maps each name in
    the checkpoint to the module's name; the two agree where the checkpoint uses the
    family's own names without a prefix. ``image_size`` is the usual input size in
    pixels, None where nothing speaks for one. ``matched_by`` is "names" (every name
    and shape), "order" (shapes only: verify by accuracy), "given" by the user, or
    "graph" (the file says how it computes). ``transposed`` names the checkpoint's
    matrices that the module keeps the other way round.
    """

    name: str
    build: Callable[[], nn.Module]
    num_classes: int
    in_channels: int
    image_size: int | None
    key_map: Mapping[str, str]
    matched_by: MatchedBy
    transposed: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network that a family proposes, before it is compared with a checkpoint."""

    name: str
    slug: str  # what --arch calls it: "resnet18-cifar"
    steps: Steps
    num_classes: int
    in_channels: int
    image_size: int | None

    def build(self) -> nn.Module:
        """Return a fresh module with random weights."""
        from rnp_cli.architectures.network import Network  # torch, only now

        return Network(self.steps)

    def fitted(self, key_map: Mapping[str, str], matched_by: MatchedBy) -> Architecture:
        """Return the architecture that this candidate turned out to be."""
        return Architecture(
            name=self.name,
            build=self.build,
            num_classes=self.num_classes,
            in_channels=self.in_channels,
            image_size=self.image_size,
            key_map=key_map,
            matched_by=matched_by,
        )


def cifar_image_size(*, num_classes: int, in_channels: int) -> int | None:
    """Return the usual input size of a network for small images, in pixels.

    200 classes are Tiny ImageNet; gray images come as 28 and padded to 32.
    """
    if in_channels != 3:
        return None
    return 64 if num_classes == 200 else 32


def imagenet_image_size(*, num_classes: int) -> int | None:
    """Return 224 for the thousand ImageNet classes; transfer may use any size."""
    return 224 if num_classes == 1000 else None
