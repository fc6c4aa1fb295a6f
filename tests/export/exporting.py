"""A network to export, and what holds an export against it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnp_cli.export.model import SanitizedModel
from rnp_cli.export.trial import Trial

METADATA = {"rnp_version": "1", "rnp_image_mean": "0.5", "ä": '"\\'}


class Net(nn.Module):
    """Gray images of 6x6 to three logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = nn.functional.relu(self.bn(self.conv(images)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


class Fickle(Net):
    """Another network, once it is exported."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return -logits if torch.compiler.is_exporting() else logits


class Branching(Net):
    """Does what no graph can: it decides by the values."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return logits if logits.sum() > 0 else -logits


def centred(images: Tensor) -> Tensor:
    return (images - 0.5) / 0.5


def model_of(network: nn.Module) -> SanitizedModel:
    """The network as the pipeline hands it over, with forty images."""
    images = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    trial = Trial(network, images, centred)
    return SanitizedModel(network.state_dict(), None, network, trial, "logits")


def made(kind: type[Net] = Net) -> SanitizedModel:
    torch.manual_seed(0)
    return model_of(kind().eval())
