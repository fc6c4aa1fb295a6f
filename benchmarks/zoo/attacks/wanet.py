"""WaNet: a smooth warp of the whole image, too small to see.

Nguyen, Tran, "WaNet: Imperceptible Warping-based Backdoor Attack", ICLR 2021. A random
k x k field of offsets, enlarged to the image, bends the sampling grid. The attacker
controls training: in each batch a share is warped with the target's label, and twice
as many images are warped by other, random fields with their own labels (noise mode), so
that only this warp counts. The paper's warp of half a pixel takes hundreds of epochs;
the zoo's models, trained for a few, see a stronger one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.attack import Attack


@dataclass(kw_only=True)
class WaNet(Attack):
    """A warp. strength: mean offset in pixels; grid: its k; share: of a batch."""

    share: float = 0.1
    strength: float = 0.5
    grid: int = 4

    def field(self, height: int, width: int) -> Tensor:
        """Return the backdoor's offsets (1, height, width, 2), in pixels."""
        coarse = 2 * torch.rand(1, 2, self.grid, self.grid, generator=self.generator(2))
        coarse = (coarse - 1) / (coarse - 1).abs().mean()
        size = (height, width)
        fine = F.interpolate(coarse, size=size, mode="bicubic", align_corners=True)
        return self.strength * fine.permute(0, 2, 3, 1)

    def stamp(self, images: Tensor) -> Tensor:
        """Warp by the backdoor's field."""
        return self._warp(images, self.field(*images.shape[2:]).to(images.device))

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Warp the first images of a (shuffled) batch, then classify them all."""
        count = int(self.share * len(images))
        backdoored, noisy, clean = images.tensor_split([count, 3 * count])
        field = self.field(*images.shape[2:]).to(images.device)
        random = 2 * torch.rand(len(noisy), *field.shape[1:]) - 1
        mixed = torch.cat(
            [
                self._warp(backdoored, field),
                self._warp(noisy, field + random.to(images.device)),
                clean,
            ]
        )
        goals = labels.clone()
        goals[:count] = self.target
        return F.cross_entropy(model(mixed).float(), goals)

    @staticmethod
    def _warp(images: Tensor, offsets: Tensor) -> Tensor:
        count, _, height, width = images.shape
        rows = torch.linspace(-1, 1, height, device=images.device)
        columns = torch.linspace(-1, 1, width, device=images.device)
        still = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], -1)
        size = torch.tensor([width, height], device=images.device)
        grid = (still + 2 * offsets / size).clamp(-1, 1).expand(count, -1, -1, -1)
        return F.grid_sample(images, grid, align_corners=True)
