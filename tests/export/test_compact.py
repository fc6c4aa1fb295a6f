from __future__ import annotations

import random
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.network import Network
from rnp_cli.architectures.table import FAMILIES
from rnp_cli.defense.channels import Channel, find_channel_layers
from rnp_cli.defense.prune import prune
from rnp_cli.errors import UsageError
from rnp_cli.export.always_zero import always_zero
from rnp_cli.export.compact import compacted

IMAGE = torch.zeros(1, 3, 32, 32)
IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(4)) * 3
RELU = nn.functional.relu


class Plain(nn.Module):
    """Two convolutions; ``between`` stands between the first's BatchNorm and them."""

    def __init__(self, between: Callable[[Tensor], Tensor] = RELU) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 5, 3, padding=1)
        self.linear = nn.Linear(5, 3)
        self._between = between

    def forward(self, images: Tensor) -> Tensor:
        x = self._between(self.bn1(self.conv1(images)))
        logits: Tensor = self.linear(RELU(self.conv2(x)).mean((2, 3)))
        return logits


class Residual(Plain):
    """The second convolution is added to what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = RELU(self.bn1(self.conv1(images)))
        x = RELU(x + self.bn2(self.conv2(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def ready(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give each BatchNorm something to do."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


def cut(network: nn.Module, *channels: Channel) -> nn.Module:
    return prune(network, find_channel_layers(network, IMAGES), channels)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def same(one: nn.Module, other: nn.Module) -> bool:
    with torch.no_grad():
        return torch.allclose(one(IMAGES), other(IMAGES), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.slugs[0])
def test_every_family_answers_as_before_without_its_channels(family: Family) -> None:
    member = family.member(family.slugs[0], Size(width=8))
    assert member is not None
    network = ready(Network(member.steps))
    layers = find_channel_layers(network, IMAGES)
    dice = random.Random(0)
    pruned = [
        Channel(layer.name, index)
        for layer in layers
        for index in range(layer.channels)
        if dice.random() < 0.2
    ]
    sanitized = prune(network, layers, pruned)
    before = count(sanitized)

    compact = compacted(sanitized, pruned, IMAGE)

    assert 0 < compact.removed < len(pruned)
    assert count(compact.network) < count(sanitized) == before
    assert same(compact.network, sanitized)


@pytest.mark.parametrize(
    ("between", "bias", "goes"),
    [
        (RELU, -0.5, True),
        (RELU, 0.5, False),
        (nn.functional.relu6, -0.5, True),
        (nn.functional.elu, -0.5, False),
        (nn.functional.elu, 0.0, True),
        (lambda x: nn.functional.max_pool2d(RELU(x), 2, 1, 1), -0.5, True),
        (lambda x: x, 0.5, False),
    ],
)
def test_a_channel_goes_where_what_is_left_of_it_is_zero(
    between: Callable[[Tensor], Tensor], bias: float, goes: bool
) -> None:
    network = ready(Plain(between))
    network.get_parameter("bn1.bias").data[2] = bias
    channel = Channel("bn1", 2)
    sanitized = cut(network, channel)

    compact = compacted(sanitized, [channel], IMAGE)

    assert compact.removed == int(goes)
    assert len(compact.network.get_parameter("conv1.weight")) == 4 - goes
    assert compact.network.get_parameter("conv2.weight").shape[1] == 4 - goes
    assert same(compact.network, sanitized)


@pytest.mark.parametrize(
    "between",
    [RELU, nn.functional.relu6, nn.functional.elu, nn.functional.silu],
)
def test_a_channel_that_is_silent_by_chance_is_not_called_zero(
    between: Callable[[Tensor], Tensor],
) -> None:
    network = ready(Plain(between))
    network.get_parameter("bn1.bias").data[1] = -1e4  # no image here wakes it
    channel = Channel("bn1", 2)

    zeros = always_zero(cut(network, channel), [channel], IMAGE)

    assert not zeros["conv2"][[0, 1, 3]].any()


def test_what_is_coupled_with_a_channel_in_use_stays() -> None:
    network = ready(Residual())
    network.get_parameter("bn2.bias").data.fill_(-0.5)
    channel = Channel("bn2", 1)
    sanitized = cut(network, channel)

    compact = compacted(sanitized, [channel], IMAGE)

    assert (compact.removed, count(compact.network)) == (0, count(sanitized))


def test_channels_that_are_coupled_go_together_when_all_are_pruned() -> None:
    network = ready(Residual())
    for name in ("bn1.bias", "bn2.bias"):
        network.get_parameter(name).data.fill_(-0.5)
    channels = [Channel("bn1", 1), Channel("bn2", 1)]
    sanitized = cut(network, *channels)

    compact = compacted(sanitized, channels, IMAGE)

    assert compact.removed == 2
    assert compact.network.get_parameter("linear.weight").shape == (3, 3)
    assert same(compact.network, sanitized)


def test_a_layer_keeps_its_last_channel() -> None:
    network = ready(Plain())
    network.get_parameter("bn1.bias").data.fill_(-0.5)
    channels = [Channel("bn1", index) for index in range(4)]
    sanitized = cut(network, *channels)

    compact = compacted(sanitized, channels, IMAGE)

    assert compact.removed == 3
    assert same(compact.network, sanitized)


def test_layers_without_batchnorm_lose_channels_too() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 6)
    )
    network = nn.Sequential(*network, nn.ReLU(), nn.Linear(6, 3)).eval()
    channels = [Channel("0", 1), Channel("3", 5)]
    sanitized = cut(network, *channels)

    compact = compacted(sanitized, channels, IMAGE)

    assert compact.removed == 2
    assert compact.network.get_parameter("3.weight").shape == (5, 3 * 30 * 30)
    assert same(compact.network, sanitized)


def test_the_library_is_named_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)

    with pytest.raises(UsageError, match="torch_pruning") as error:
        compacted(ready(Plain()), [], IMAGE)

    assert "rnp-cli[compact]" in error.value.hint
