"""Networks to time: of random weights, whose last layer is fitted to the images.

A network that labels clean images no better than chance is refused by the tool, so the
layer that makes the logits is set by least squares on what the others put out. That
makes a skill to unlearn; how long it takes depends on shapes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.architectures.family import Size
from rnp_cli.architectures.table import FAMILIES
from rnp_cli.defense.samples import Samples

CLASSES = 10
_RIDGE = 1e-2


class ViT(nn.Module):
    """ViT-B/16 (Dosovitskiy et al., ICLR 2021): 12 blocks of width 768, 12 heads."""

    def __init__(
        self,
        classes: int = CLASSES,
        size: int = 224,
        patch: int = 16,
        width: int = 768,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(
            0.02 * torch.randn(1, (size // patch) ** 2 + 1, width)
        )
        block = nn.TransformerEncoderLayer(
            width, 12, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, 12, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, class) for images (batch, 3, 224, 224)."""
        seen = self.patches(images).flatten(2).transpose(1, 2)
        token = self.token.expand(len(images), -1, -1)
        seen = torch.cat([token, seen], 1) + self.places
        logits: Tensor = self.head(self.norm(self.blocks(seen)[:, 0]))
        return logits


def vit() -> nn.Module:
    """Build the factory's network; ``--arch FILE.py:vit`` reads it so."""
    return ViT()


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A network to time: of how many classes ``build`` is told.

    size: of its images, (height, width) alike. arch: what the tool is told of it.
    """

    build: Callable[[int], nn.Module]
    size: int
    arch: str | None = None


def _member(slug: str) -> Callable[[int], nn.Module]:
    def build(classes: int) -> nn.Module:
        size = Size(num_classes=classes)
        members = (family.member(slug, size) for family in FAMILIES)
        return next(member for member in members if member is not None).build()

    return build


TIMED = {
    "wrn-16-1": Timed(build=_member("wrn-16-1"), size=32),
    "wrn-16-2": Timed(build=_member("wrn-16-2"), size=32),
    "wrn-16-4": Timed(build=_member("wrn-16-4"), size=32),
    "resnet18": Timed(build=_member("resnet18-cifar"), size=32),
    "resnet50-cifar": Timed(build=_member("resnet50-cifar"), size=32),
    "resnet50": Timed(build=_member("resnet50"), size=224),
    "vit-b-16": Timed(build=ViT, size=224, arch=f"{Path(__file__)}:vit"),
}


@torch.no_grad()
def with_skill(
    name: str, samples: Samples, mean: Tensor, std: Tensor, *, classes: int = CLASSES
) -> nn.Module:
    """Build a network that labels most of ``samples`` right, from a fixed seed.

    mean, std: (1, channel, 1, 1), of how it takes its images.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = TIMED[name].build(classes)
    images = (samples.images - mean) / std
    _fit_statistics(model, images)
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    features = _features(model.eval(), head, images)
    centered = features - features.mean(0)
    scale = centered.square().mean().sqrt().clamp_min(1e-6)
    ridge = _RIDGE * len(features) * scale**2 * torch.eye(features.shape[1])
    goals = F.one_hot(samples.labels, classes).float() - 1 / classes
    weight = torch.linalg.solve(centered.T @ centered + ridge, centered.T @ goals)
    head.weight.copy_(10 * weight.T)
    head.bias.copy_(-head.weight @ features.mean(0))
    return model


def _fit_statistics(model: nn.Module, images: Tensor) -> None:
    """Let BatchNorm see the images, as after a training."""
    model.train()
    for _ in range(3):
        for batch in images.split(64):
            model(batch)


def _features(model: nn.Module, head: nn.Linear, images: Tensor) -> Tensor:
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    for batch in images.split(64):
        model(batch)
    hook.remove()
    return torch.cat(seen).float()
