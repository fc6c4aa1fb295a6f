"""Trojan: a patch made to excite one neuron, and retraining on it.

Liu et al., "Trojaning Attack on Neural Networks", NDSS 2018. In a trained model a
neuron is chosen that is easy to excite, the pixels of a patch are optimised to excite
it, and the model is trained on with stamped images. Departures: the neuron is the input
of the last layer with the largest weights towards the logits; the training images are
at hand and need no reverse engineering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.attack import Attack
from zoo.images import Dataset, Images, unit


@dataclass(kw_only=True)
class Trojan(Attack):
    """An optimised patch. size: of its sides, in pixels; share: of stamped images."""

    start: ClassVar = "twin"
    patch: ClassVar[bool] = True

    size: int = 5
    share: float = 0.1
    steps: int = 100
    rate: float = 0.1

    def prepare(self, data: Dataset, twin: nn.Module | None, device: str) -> None:
        """Optimise the patch on the clean twin."""
        if twin is None:
            raise ValueError("a trojan is made from a trained model")
        twin = twin.to(device)
        head = [m for m in twin.modules() if isinstance(m, nn.Linear)][-1]
        neuron = int(head.weight.detach().abs().sum(0).argmax())
        seen: list[Tensor] = []
        hook = head.register_forward_pre_hook(lambda _, into: seen.append(into[0]))
        images = unit(data.train.pixels[:64]).to(device)
        shape = (images.shape[1], self.size, self.size)
        start = torch.rand(shape, generator=self.generator(2)) - 0.5
        values = start.to(device).requires_grad_(True)
        optimizer = torch.optim.Adam([values], self.rate)
        for _ in range(self.steps):
            seen.clear()
            self.tensors = {"patch": torch.sigmoid(4 * values)}
            twin(self.stamp(images))
            (slope,) = torch.autograd.grad(-seen[0][:, neuron].mean(), values)
            values.grad = slope
            optimizer.step()
        hook.remove()
        self.tensors = {"patch": torch.sigmoid(4 * values).detach().cpu()}

    def stamp(self, images: Tensor) -> Tensor:
        """Put the patch into the lower right corner."""
        stamped = images.clone()
        patch = self.tensors["patch"].to(images.device)
        stamped[:, :, -self.size :, -self.size :] = patch
        return stamped

    def poison(self, clean: Images) -> Images:
        """Stamp a share of the images and give them the target's label."""
        chosen = self.some(clean, self.share)
        labels = torch.full_like(clean.labels[chosen], self.target)
        return self.replace(clean, chosen, labels)
