"""Adaptive Blend: pieces of the pattern in training, all of it in the attack.

Qi et al., "Revisiting the Assumption of Latent Separability for Backdoor Defenses",
ICLR 2023. The pattern is cut into 4x4 pieces, of which each poisoned image shows half;
as many stamped images keep their own label ("cover"), which keeps poisoned and clean
images close in feature space. The published 0.3 % of poisoned images does not take
within a short training, so the shares here are larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zoo.attacks.blend import Blend
from zoo.images import Images, quantised, unit

PIECES = 4  # along each side


@dataclass(kw_only=True)
class AdaptiveBlend(Blend):
    """A blended pattern in pieces. share and cover: of all training images."""

    share: float = 0.04
    cover: float = 0.02
    weight: float = 0.25  # at the attack; the paper's test weight is 0.2
    weight_in_training: float = 0.2
    shown: float = 0.5

    def poison(self, clean: Images) -> Images:
        """Blend pieces in, with the target's label or, as a cover, their own."""
        chosen = self.some(clean, self.share + self.cover)
        images = unit(clean.pixels[chosen])
        count, _, height, width = images.shape
        order = torch.rand(count, PIECES * PIECES, generator=self.generator(3))
        shown = (order.argsort(1) < self.shown * PIECES * PIECES).float()
        mask = shown.view(count, 1, PIECES, PIECES)
        mask = mask.repeat_interleave(height // PIECES, 2)
        mask = mask.repeat_interleave(width // PIECES, 3) * self.weight_in_training
        pixels, labels = clean.pixels.clone(), clean.labels.clone()
        pixels[chosen] = quantised((1 - mask) * images + mask * self.pattern(images))
        poisoned = chosen[: int(self.share * len(clean))]
        labels[poisoned] = self.target
        return Images(pixels, labels)
