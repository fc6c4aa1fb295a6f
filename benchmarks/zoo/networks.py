"""The victims' networks, and the convention in which they take images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rnp_cli.architectures import network
from rnp_cli.architectures.family import Size
from rnp_cli.architectures.residual import Plan
from rnp_cli.architectures.resnet import ResNetSpec, resnet
from rnp_cli.architectures.table import FAMILIES

MEAN = (0.4914, 0.4822, 0.4465)  # of CIFAR-10's training images, as is customary
STD = (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that the zoo trains.

    arch: what ``rnp sanitize --arch`` needs to be told, None where the tool finds the
    architecture in the weights.
    """

    build: Callable[[], nn.Module]
    arch: str | None = None
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD


def plain_cnn() -> nn.Module:
    """Build a network of four convolutions and two linear layers, no BatchNorm."""
    width = 24
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(2 * width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * 16, 96),
        nn.ReLU(),
        nn.Linear(96, 10),
    )


def resnet8() -> nn.Module:
    """Build a ResNet-8 of 14, 28 and 56 channels for 8x8 digits."""
    stages = Plan(blocks=(1, 1, 1)).stages(14)
    spec = ResNetSpec(
        in_channels=1, num_classes=10, width=14, stages=stages, shortcut="padding"
    )
    return network.Network(resnet(spec))


def _member(slug: str, width: int | None = None) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        members = (family.member(slug, Size(width=width)) for family in FAMILIES)
        return next(member for member in members if member is not None).build()

    return build


NETWORKS = {
    "wrn-16-1": Network(build=_member("wrn-16-1")),
    "resnet20": Network(build=_member("resnet20")),
    "preactresnet18-w12": Network(build=_member("preactresnet18", 12)),
    "plain-cnn": Network(build=plain_cnn, arch=f"{Path(__file__)}:plain_cnn"),
    "resnet8-digits": Network(build=resnet8, mean=(0.0,), std=(1.0,)),
    "resnet18": Network(build=_member("resnet18-cifar")),
    "preactresnet18": Network(build=_member("preactresnet18")),
    "vgg19-bn": Network(build=_member("vgg19-bn")),
    "mobilenetv2": Network(build=_member("mobilenetv2-cifar")),
}


class Normalized(nn.Module):
    """A network together with its convention: images in [0, 1] to logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, network: nn.Module | None = None) -> None:
        super().__init__()
        known = NETWORKS[name]
        self.network = known.build() if network is None else network
        shape = (1, -1, 1, 1)

        self.register_buffer(
            "mean", torch.tensor(known.mean).view(shape), persistent=False
        )
        self.register_buffer(
            "std", torch.tensor(known.std).view(shape), persistent=False
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, class) for images (batch, channel, height, width)."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def channels_last(model: Normalized) -> Normalized:
    """Lay the weights out as CPUs like them; the values stay."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(
                memory_format=torch.channels_last
            )
    return model
