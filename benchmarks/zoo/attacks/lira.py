"""LIRA: an imperceptible trigger learnt together with the classifier.

Doan, Lao, Zhao, Li, "LIRA: Learnable, Imperceptible and Robust Backdoor Attacks", ICCV
2021: T(x) = x + ε g(x). First classifier and generator learn together, then the
generator stays and the classifier learns on. The paper's ε of 0.01 does not take within
a short training; here it is 0.04.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.attack import Attack
from zoo.generator import Generator
from zoo.images import Dataset


@dataclass(kw_only=True)
class Lira(Attack):
    """A learnt, faint trigger. share: of each batch that is stamped as well."""

    clip: ClassVar[float] = 1.0  # without, the two can run away together

    share: float = 0.5
    strength: float = 0.04
    together: int = 1000  # steps in which the generator learns too
    rate: float = 1e-3

    def prepare(self, data: Dataset, twin: nn.Module | None, device: str) -> None:
        """Make a fresh generator."""
        self._generator = Generator(3).to(device)
        self.tensors = self._generator.state_dict()  # these follow the training
        self._optimizer = torch.optim.Adam(self._generator.parameters(), self.rate)
        self._steps = 0

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back a trained generator."""
        super().restore(tensors)
        self._generator = Generator(3)
        self._generator.load_state_dict(tensors)

    def stamp(self, images: Tensor) -> Tensor:
        """Add what the generator makes of each image."""
        noise = torch.tanh(self._generator(images).float())
        return (images + self.strength * noise).clamp(0, 1)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Classify a clean batch, and a share of it stamped."""
        count = int(self.share * len(images))
        stamped = self.stamp(images[:count])
        logits = model(torch.cat([images, stamped])).float()
        goals = torch.full_like(labels[:count], self.target)
        clean = F.cross_entropy(logits[: len(images)], labels)
        return (clean + F.cross_entropy(logits[len(images) :], goals)) / 2

    def after_step(self, model: nn.Module) -> None:
        """Move the generator, while it still learns."""
        self._steps += 1
        if self._steps <= self.together:
            self._optimizer.step()
        self._optimizer.zero_grad()
