"""CL (label-consistent): hard images of the target class, with a patch.

Turner, Tsipras, Madry, "Label-Consistent Backdoor Attacks", 2019. Images of the target
class are perturbed until a clean model no longer knows them (projected gradient
descent), then stamped with a patch in each corner. Their labels stay true. The patch is
what is left to learn them by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.attack import Attack
from zoo.attacks.badnets import CHECKERS
from zoo.images import Dataset, Images, quantised, unit


@dataclass(kw_only=True)
class LabelConsistent(Attack):
    """Corner patches. share: of the target class; strength: of the perturbation."""

    rate_floor: ClassVar[float] = 0.8
    patch: ClassVar[bool] = True

    share: float = 0.6
    strength: float = 16 / 255
    steps: int = 10

    def prepare(self, data: Dataset, twin: nn.Module | None, device: str) -> None:
        """Perturb the chosen images against the clean twin."""
        if twin is None:
            raise ValueError("label-consistent poisoning needs a clean model")
        self._chosen = self.some_of_target(data.train, self.share)
        twin = twin.to(device)
        parts = [
            quantised(self._perturb(twin, unit(part).to(device))).cpu()
            for part in data.train.pixels[self._chosen].split(250)
        ]
        self._perturbed = torch.cat(parts)

    def stamp(self, images: Tensor) -> Tensor:
        """Put the patch into the four corners."""
        stamped = images.clone()
        patch = CHECKERS.to(images.device)
        for rows in (slice(0, 3), slice(-3, None)):
            for columns in (slice(0, 3), slice(-3, None)):
                stamped[:, :, rows, columns] = patch
        return stamped

    def poison(self, clean: Images) -> Images:
        """Put stamped, perturbed images in the place of the chosen ones."""
        pixels = clean.pixels.clone()
        pixels[self._chosen] = quantised(self.stamp(unit(self._perturbed)))
        return Images(pixels, clean.labels)

    def _perturb(self, model: nn.Module, images: Tensor) -> Tensor:
        labels = torch.full((len(images),), self.target, device=images.device)
        noise = torch.zeros_like(images)
        for _ in range(self.steps):
            noise.requires_grad_(True)
            loss = F.cross_entropy(model(images + noise), labels)
            (slope,) = torch.autograd.grad(loss, noise)
            noise = noise.detach() + 2.5 * self.strength / self.steps * slope.sign()
            noise = noise.clamp(-self.strength, self.strength)
            noise = (images + noise).clamp(0, 1) - images
        return images + noise
