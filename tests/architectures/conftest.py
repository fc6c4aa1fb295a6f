"""Small random networks, as the table of families builds them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.architectures.architecture import Candidate
from rnp_cli.architectures.family import Size
from rnp_cli.architectures.table import FAMILIES

Member = Callable[..., Candidate]
RandomModule = Callable[..., nn.Module]


@pytest.fixture
def member() -> Member:
    """A named member of the table, eight channels wide unless asked otherwise."""

    def build(
        slug: str, *, classes: int = 10, channels: int = 3, width: int | None = 8
    ) -> Candidate:
        size = Size(num_classes=classes, in_channels=channels, width=width)
        found = [family.member(slug, size) for family in FAMILIES]
        return next(candidate for candidate in found if candidate is not None)

    return build


@pytest.fixture
def random_module(member: Member) -> RandomModule:
    """A small member in eval mode, with random weights and BatchNorm statistics."""

    def build(slug: str, **size: int) -> nn.Module:
        torch.manual_seed(0)
        module = member(slug, **size).build()
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, std=0.2)
                nn.init.normal_(layer.get_buffer("running_mean"), std=0.2)
                nn.init.uniform_(layer.get_buffer("running_var"), 0.5, 1.5)
        return module.eval()

    return build


@pytest.fixture
def images() -> Tensor:
    """Images (2, 3, 32, 32), float32 in [0, 1]."""
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
