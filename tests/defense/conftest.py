"""A network with clean skill, and the samples that show it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from tiny_nets import CORNERS, corner_net, corners, trained
from torch import nn

from rnp_cli.defense.samples import SplitSamples


@pytest.fixture(scope="session")
def samples() -> SplitSamples:
    return SplitSamples(
        fit=corners(96, seed=1), holdout=corners(48, seed=2), num_classes=CORNERS
    )


@pytest.fixture(scope="session")
def _trained() -> nn.Module:
    return trained(corner_net(), corners(256, seed=3), epochs=1)


@pytest.fixture
def skilled(_trained: nn.Module) -> nn.Module:
    """A copy for each test, in eval mode."""
    return copy.deepcopy(_trained)


@pytest.fixture(scope="session")
def skilled_without_norm() -> Callable[[], nn.Module]:
    plain = nn.Sequential(
        *(m for m in corner_net() if not isinstance(m, nn.BatchNorm2d))
    )
    made = trained(plain, corners(256, seed=3), epochs=12)
    return lambda: copy.deepcopy(made)
