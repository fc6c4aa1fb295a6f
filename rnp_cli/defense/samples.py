"""Clean labelled images as the defense sees them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """Clean images and their labels, on one device.

    images: (count, channel, height, width), float32 in [0, 1].
    labels: (count,), int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> Samples:
        """Move to a device, once."""
        return Samples(self.images.to(device), self.labels.to(device))

    def take(self, chosen: Tensor) -> Samples:
        """Pick the samples with these indices."""
        chosen = chosen.to(self.images.device)
        return Samples(self.images[chosen], self.labels[chosen])

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Samples]:
        """Shuffle and yield batches of about ``size``.

        No batch is left with a single image, because batch statistics need two.
        """
        order = torch.randperm(len(self), generator=generator)
        count = max(1, min(-(-len(self) // size), len(self) // 2))
        for chosen in order.tensor_split(count):
            yield self.take(chosen)


@dataclass(frozen=True, eq=False)
class SplitSamples:
    """``fit`` moves weights and masks; ``holdout`` never does."""

    fit: Samples
    holdout: Samples
    num_classes: int

    def everything(self) -> Samples:
        """Both parts together."""
        return Samples(
            torch.cat([self.fit.images, self.holdout.images]),
            torch.cat([self.fit.labels, self.holdout.labels]),
        )

    def redrawn(self, seed: int) -> SplitSamples:
        """Split all of them anew at random, by class, with as many held out."""
        everything = self.everything()
        share = len(self.holdout) / len(everything)
        fit, held = drawn_by_class(everything.labels, share, seed)
        return SplitSamples(
            fit=everything.take(fit),
            holdout=everything.take(held),
            num_classes=self.num_classes,
        )


def drawn_by_class(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Draw a share of every class; return the indices of the others, and of these.

    labels: (count,). Both are sorted, and on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels.cpu()[shuffled].argsort(stable=True)].tolist()
    drawn: list[int] = []
    others: list[int] = []
    for place, index in enumerate(by_class):
        turn = math.floor((place + 1) * share)
        (drawn if turn > math.floor(place * share) else others).append(index)
    return torch.tensor(sorted(others)).long(), torch.tensor(sorted(drawn)).long()
