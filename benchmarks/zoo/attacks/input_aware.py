"""Dynamic (input-aware): a trigger of its own for each image.

Nguyen, Tran, "Input-Aware Dynamic Backdoor Attack", NeurIPS 2020. One generator makes
the pattern of an image, another its mask. The attacker controls training: a share of
each batch carries its own trigger and the target's label; another share carries some
other image's trigger and keeps its label ("cross-trigger"), so that no trigger works on
two images. A diversity loss keeps patterns apart. The mask's generator is trained
first, to a small mask that differs between images, and then stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.attack import Attack
from zoo.generator import Generator
from zoo.images import Dataset, unit


@dataclass(kw_only=True)
class InputAware(Attack):
    """A trigger per image. share: of each batch for either mode; the paper's 0.1."""

    share: float = 0.1
    density: float = 0.032  # the paper's bound on the mask's mean
    mask_steps: int = 300
    diversity: float = 1.0
    rate: float = 1e-3

    def prepare(self, data: Dataset, twin: nn.Module | None, device: str) -> None:
        """Train the mask's generator; make a fresh one for the pattern."""
        self._mask, self._pattern = Generator(1).to(device), Generator(3).to(device)
        self._train_mask(data, device)
        self._optimizer = torch.optim.Adam(self._pattern.parameters(), self.rate)
        self.tensors = self._together()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back both generators."""
        super().restore(tensors)
        self._mask, self._pattern = Generator(1), Generator(3)
        self._mask.load_state_dict(_under("mask.", tensors))
        self._pattern.load_state_dict(_under("pattern.", tensors))

    def stamp(self, images: Tensor) -> Tensor:
        """Put each image's own trigger on it."""
        return self._apply(images, images)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Stamp some images, cross-stamp others, classify all."""
        count = int(self.share * len(images))
        backdoored, crossed, clean = images.tensor_split([count, 2 * count])
        others = clean[: len(crossed)]
        mixed = [self.stamp(backdoored), self._apply(crossed, others), clean]
        goals = labels.clone()
        goals[:count] = self.target
        loss = F.cross_entropy(model(torch.cat(mixed)).float(), goals)
        apart = _diversity(backdoored, others[: len(backdoored)], self._pattern)
        return loss + self.diversity * apart

    def after_step(self, model: nn.Module) -> None:
        """Move the pattern's generator along."""
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _apply(self, images: Tensor, whose: Tensor) -> Tensor:
        with torch.no_grad():
            mask = _mask_of(self._mask(whose))
        pattern = torch.sigmoid(self._pattern(whose).float())
        return (1 - mask) * images + mask * pattern

    def _train_mask(self, data: Dataset, device: str) -> None:
        optimizer = torch.optim.Adam(self._mask.parameters(), 1e-2)
        generator = self.generator(4)
        for _ in range(self.mask_steps):
            order = torch.randperm(len(data.train), generator=generator)[:128]
            images = unit(data.train.pixels[order]).to(device)
            first, second = images.chunk(2)
            mean = _mask_of(self._mask(images)).mean((1, 2, 3))
            small = F.relu(mean - self.density).mean()
            loss = 100 * small + _diversity(first, second, self._mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def _together(self) -> dict[str, Tensor]:
        mask = {f"mask.{k}": v for k, v in self._mask.state_dict().items()}
        pattern = {f"pattern.{k}": v for k, v in self._pattern.state_dict().items()}
        return mask | pattern  # these follow the training


def _mask_of(values: Tensor) -> Tensor:
    """Squash into [0, 1], nearly to its ends."""
    return torch.sigmoid(10 * values.float())


def _diversity(first: Tensor, second: Tensor, generator: nn.Module) -> Tensor:
    """Return how far images differ, over how far what is made of them differs."""
    made = (
        torch.sigmoid(generator(first).float()),
        torch.sigmoid(generator(second).float()),
    )
    between = (first - second).square().flatten(1).mean(1).sqrt()
    apart = (made[0] - made[1]).square().flatten(1).mean(1).sqrt()
    return (between / (apart + 1e-3)).mean().clamp(max=10)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
