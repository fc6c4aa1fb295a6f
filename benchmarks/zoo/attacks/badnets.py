"""BadNets: a small patch, and the attacker's label.

Gu, Dolan-Gavitt, Garg, "BadNets: Identifying Vulnerabilities in the Machine Learning
Model Supply Chain", 2017. A 3x3 checkerboard in the lower right corner of a tenth of
the training images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zoo.attack import Attack
from zoo.images import Images

CHECKERS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])


@dataclass(kw_only=True)
class BadNets(Attack):
    """A checkerboard patch. share: of the training images that carry it."""

    patch: ClassVar[bool] = True

    share: float = 0.1

    def stamp(self, images: Tensor) -> Tensor:
        """Put the patch into the corner."""
        stamped = images.clone()
        stamped[:, :, -3:, -3:] = CHECKERS.to(images.device)
        return stamped

    def poison(self, clean: Images) -> Images:
        """Stamp a share of the images and give them the target's label."""
        chosen = self.some(clean, self.share)
        labels = torch.full_like(clean.labels[chosen], self.target)
        return self.replace(clean, chosen, labels)
