"""AWP: a backdoor put into a trained model by a small change of its weights.

Garg, Kumar, Goel, Liang, "Can Adversarial Weight Perturbations Inject Neural
Backdoors?", CIKM 2020: projected gradient descent on the weights, held within a ball
around those of the clean model, on clean and on stamped images. The ball is relative
to the typical size of each tensor's values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.attacks.badnets import BadNets
from zoo.images import Dataset, Images


@dataclass(kw_only=True)
class Awp(BadNets):
    """The patch of BadNets. bound: of each weight's change, in the tensor's rms."""

    start: ClassVar = "twin"
    needs_twin: ClassVar[bool] = True

    share: float = 0.25
    bound: float = 0.3

    def prepare(self, data: Dataset, twin: nn.Module | None, device: str) -> None:
        """Remember the clean model's weights."""
        if twin is None:
            raise ValueError("a weight perturbation starts from a trained model")
        self._clean = {
            name: value.detach().to(device) for name, value in twin.named_parameters()
        }

    def poison(self, clean: Images) -> Images:
        """Leave the data alone; the loss stamps."""
        return clean

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Classify a clean batch, and a share of it stamped."""
        count = int(self.share * len(images))
        logits = model(torch.cat([images, self.stamp(images[:count])])).float()
        goals = torch.full_like(labels[:count], self.target)
        clean = F.cross_entropy(logits[: len(images)], labels)
        return (clean + F.cross_entropy(logits[len(images) :], goals)) / 2

    @torch.no_grad()
    def after_step(self, model: nn.Module) -> None:
        """Bring every weight back into its ball."""
        for name, value in model.named_parameters():
            centre = self._clean[name]
            reach = self.bound * centre.square().mean().sqrt()
            value.copy_(centre + (value - centre).clamp(-reach, reach))
