"""SIG: a sinusoid over images of the target class, labels untouched.

Barni, Kallas, Tondi, "A New Backdoor Attack in CNNs by Training Set Corruption Without
Label Poisoning", ICIP 2019: v(i, j) = Δ sin(2π j f / m), f = 6. As there, the signal
is stronger in the attack than in training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zoo.attack import Attack
from zoo.images import Images, quantised, unit


@dataclass(kw_only=True)
class Sig(Attack):
    """A sinusoid. share: of the target class; strengths: of the signal, in [0, 1]."""

    rate_floor: ClassVar[float] = 0.8

    share: float = 0.8
    strength_in_training: float = 20 / 255
    strength: float = 40 / 255
    frequency: int = 6

    def stamp(self, images: Tensor) -> Tensor:
        """Add the signal at the attack's strength."""
        return self._add(images, self.strength)

    def poison(self, clean: Images) -> Images:
        """Add the fainter signal to a share of the target class."""
        chosen = self.some_of_target(clean, self.share)
        pixels = clean.pixels.clone()
        stamped = self._add(unit(pixels[chosen]), self.strength_in_training)
        pixels[chosen] = quantised(stamped)
        return Images(pixels, clean.labels)

    def _add(self, images: Tensor, strength: float) -> Tensor:
        width = images.shape[3]
        columns = torch.arange(width, device=images.device)
        signal = torch.sin(2 * math.pi * columns * self.frequency / width)
        return (images + strength * signal).clamp(0, 1)
