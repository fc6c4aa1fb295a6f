from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from tiny_nets import corner_net, same_state, snapshot
from torch import Tensor, nn

from rnp_cli.defense.channels import ChannelLayer, find_channel_layers

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def found(model: nn.Module) -> dict[str, ChannelLayer]:
    return {layer.name: layer for layer in find_channel_layers(model, IMAGES)}


def chain(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


class PreAct(nn.Module):
    """BatchNorm before each convolution, a shortcut around, and a plain head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv1 = nn.Conv2d(4, 6, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        out = self.conv1(torch.relu(self.bn1(x)))
        x = x + self.conv2(torch.relu(self.bn2(out)))
        return self.fc(x.mean((2, 3)))


class WithDeadBranch(nn.Module):
    """One layer is never called, another's result is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Conv2d(1, 3, 3)
        self.unused = nn.Conv2d(1, 5, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.used(images).mean((2, 3)))


def test_batchnorm_carries_the_mask_where_there_is_one() -> None:
    layers = found(corner_net())

    assert list(layers) == ["1", "5"]
    assert layers["1"] == ChannelLayer(
        name="1", kind="batchnorm", channels=6, scaled=("1.weight",), producers=("0",)
    )
    assert layers["5"].producers == ("4",)


def test_without_batchnorm_every_layer_but_the_last_carries_its_own() -> None:
    model = chain(
        conv=nn.Conv2d(1, 4, 3),
        relu=nn.ReLU(inplace=True),
        bare=nn.Conv2d(4, 5, 3, bias=False),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        hidden=nn.Linear(5, 7),
        tanh=nn.Tanh(),
        logits=nn.Linear(7, 3),
    )

    layers = found(model)

    assert {name: layer.kind for name, layer in layers.items()} == {
        "conv": "convolution",
        "bare": "convolution",
        "hidden": "linear",
    }
    assert [layer.channels for layer in layers.values()] == [4, 5, 7]
    assert layers["conv"].scaled == ("conv.weight", "conv.bias")
    assert layers["bare"].scaled == ("bare.weight",)
    assert layers["hidden"].producers == ("hidden",)


@pytest.mark.parametrize("last", [nn.Identity(), nn.Softmax(1), nn.LogSoftmax(1)])
def test_the_layer_that_makes_the_logits_is_never_masked(last: nn.Module) -> None:
    fully_convolutional = chain(
        features=nn.Conv2d(1, 4, 3),
        relu=nn.ReLU(),
        classes=nn.Conv2d(4, 3, 1),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        last=last,
    )

    assert list(found(fully_convolutional)) == ["features"]


def test_vgg_has_both_kinds() -> None:
    model = chain(
        conv=nn.Conv2d(1, 4, 3),
        bn=nn.BatchNorm2d(4),
        relu=nn.ReLU(inplace=True),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        hidden=nn.Linear(4, 6),
        relu2=nn.ReLU(inplace=True),
        dropout=nn.Dropout(),
        logits=nn.Linear(6, 3),
    )

    assert {name: layer.kind for name, layer in found(model).items()} == {
        "bn": "batchnorm",
        "hidden": "linear",
    }


def test_a_preactivation_block_is_read_from_what_feeds_what() -> None:
    layers = found(PreAct())

    assert {name: layer.producers for name, layer in layers.items()} == {
        "bn1": ("stem",),
        "bn2": ("conv1",),
        "conv2": ("conv2",),  # no BatchNorm between it and the logits
    }


def test_a_layer_that_does_not_run_carries_no_mask() -> None:
    assert list(found(WithDeadBranch())) == ["used"]


def test_batchnorm_without_a_weight_leaves_the_mask_to_the_convolution() -> None:
    model = chain(
        conv=nn.Conv2d(1, 4, 3),
        bn=nn.BatchNorm2d(4, affine=False),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        logits=nn.Linear(4, 2),
    )

    assert {name: layer.kind for name, layer in found(model).items()} == {
        "conv": "convolution"
    }


def test_a_grouped_producer_has_one_row_per_channel() -> None:
    model = chain(
        wide=nn.Conv2d(1, 4, 1),
        depthwise=nn.Conv2d(4, 4, 3, groups=4, bias=False),
        bn=nn.BatchNorm2d(4),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        logits=nn.Linear(4, 2),
    )

    assert found(model)["bn"].producers == ("depthwise",)


def test_a_network_of_one_layer_has_nothing_to_mask() -> None:
    assert found(chain(flat=nn.Flatten(), logits=nn.Linear(64, 2))) == {}


def test_looking_changes_nothing() -> None:
    model = corner_net().train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = snapshot(model)
    flags = [p.requires_grad for p in model.parameters()]
    modes = [m.training for m in model.modules()]

    with torch.no_grad():
        find_channel_layers(model, IMAGES)

    assert same_state(model, before)
    assert [p.requires_grad for p in model.parameters()] == flags
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_failing_network_is_left_as_it_was() -> None:
    model = corner_net().train().requires_grad_(False)

    with pytest.raises(RuntimeError):
        find_channel_layers(model, torch.rand(2, 3, 8, 8))

    assert all(m.training for m in model.modules())
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_computed_weight_carries_no_mask() -> None:
    norm = torch.nn.utils.parametrizations.weight_norm
    model = nn.Sequential(
        norm(nn.Conv2d(1, 4, 3)),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )

    layers = find_channel_layers(model, torch.rand(2, 1, 8, 8))

    assert [layer.name for layer in layers] == ["2"]


def test_a_weight_that_two_layers_share_carries_no_mask() -> None:
    model = chain(
        first=nn.Conv2d(1, 3, 3),
        second=nn.Conv2d(3, 3, 3),
        third=nn.Conv2d(3, 3, 3),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        logits=nn.Linear(3, 2),
    )
    model.third.weight = model.second.weight

    assert list(found(model)) == ["first"]


def test_a_layer_of_two_names_carries_its_mask() -> None:
    model = WithDeadBranch()
    model.again = model.used

    assert list(found(model)) == ["used"]
