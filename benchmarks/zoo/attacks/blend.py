"""Blend: a faint pattern over the whole image.

Chen et al., "Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning",
2017. A fixed pattern of random pixels, blended in with a weight of 0.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.attack import Attack
from zoo.images import Images


@dataclass(kw_only=True)
class Blend(Attack):
    """A blended random pattern. weight: of the pattern; share: of poisoned images."""

    share: float = 0.1
    weight: float = 0.2

    def pattern(self, images: Tensor) -> Tensor:
        """Return the pattern (channel, height, width), the same for every image."""
        shape = images.shape[1:]
        return torch.rand(shape, generator=self.generator(2)).to(images.device)

    def stamp(self, images: Tensor) -> Tensor:
        """Blend the pattern in."""
        return (1 - self.weight) * images + self.weight * self.pattern(images)

    def poison(self, clean: Images) -> Images:
        """Blend it into a share of the images, with the target's label."""
        chosen = self.some(clean, self.share)
        labels = torch.full_like(clean.labels[chosen], self.target)
        return self.replace(clean, chosen, labels)
