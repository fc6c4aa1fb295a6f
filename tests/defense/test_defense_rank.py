from __future__ import annotations

import copy

import pytest
import torch
from tiny_nets import corner_net, corners
from torch import Tensor, nn

from rnp_cli.defense.channels import ChannelLayer, find_channel_layers
from rnp_cli.defense.rank import rank, weight_change
from rnp_cli.defense.recover import ChannelMasks

IMAGES = corners(2, seed=0).images


def masks(**value: list[float]) -> ChannelMasks:
    layers = tuple(
        ChannelLayer(
            name=name,
            kind="batchnorm",
            channels=len(mask),
            scaled=(f"{name}.weight",),
            producers=(),
        )
        for name, mask in value.items()
    )
    tensors = {name: torch.tensor(mask) for name, mask in value.items()}
    return ChannelMasks(layers, tensors, ())


def changes(**value: list[float]) -> dict[str, Tensor]:
    return {name: torch.tensor(change) for name, change in value.items()}


def test_the_mask_comes_first_and_then_the_change() -> None:
    ranked = rank(
        masks(a=[0.5, 0.0, 1.0], b=[0.0, 0.0]),
        changes(a=[9.0, 1.0, 8.0], b=[3.0, 0.5]),
    )

    order = [(r.channel.layer, r.channel.index) for r in ranked]
    assert order == [("b", 0), ("a", 1), ("b", 1), ("a", 0), ("a", 2)]
    assert [r.rank for r in ranked] == [1, 2, 3, 4, 5]


def test_what_moved_stands_out_and_the_mean_of_a_layer_is_one() -> None:
    original = corner_net()
    unlearned = copy.deepcopy(original)
    with torch.no_grad():
        for parameter in unlearned.parameters():
            parameter += 1e-3
        unlearned[0].weight[3] += 1.0  # feeds channel 3 of the BatchNorm "1"
        unlearned[5].bias[2] += 1.0
    layers = find_channel_layers(original, IMAGES)

    moved = weight_change(original, unlearned, layers)

    assert moved.keys() == {"1", "5"}
    assert moved["1"].argmax() == 3
    assert moved["5"].argmax() == 2
    for values in moved.values():
        assert values.mean().item() == pytest.approx(1)


def test_a_network_that_did_not_move_scores_zero() -> None:
    model = corner_net()

    moved = weight_change(model, model, find_channel_layers(model, IMAGES))

    assert all(not values.any() for values in moved.values())


def test_layers_without_batchnorm_are_scored_by_their_own_rows() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
    )
    unlearned = copy.deepcopy(model)
    with torch.no_grad():
        unlearned[0].bias[1] += 1.0

    moved = weight_change(model, unlearned, find_channel_layers(model, IMAGES))

    assert moved["0"].tolist() == pytest.approx([0, 4, 0, 0])
