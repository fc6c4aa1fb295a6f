"""BadNets, all to all: the patch turns each class into the next.

Gu et al., 2017, §4.1.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.attacks.badnets import BadNets
from zoo.images import Images


@dataclass(kw_only=True)
class AllToAll(BadNets):
    """The patch of BadNets with the label y + 1."""

    classes: int = 10

    def least_rate(self, clean_accuracy: float) -> float:
        """Ask for a share of the clean accuracy: no class unknown can be moved on."""
        return self.rate_floor * clean_accuracy

    def goal(self, labels: Tensor) -> Tensor:
        """Want the next class of every image."""
        return (labels + 1) % self.classes

    def poison(self, clean: Images) -> Images:
        """Stamp a share of the images and move their labels on by one."""
        chosen = self.some(clean, self.share)
        return self.replace(clean, chosen, self.goal(clean.labels[chosen]))
