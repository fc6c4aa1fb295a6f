from __future__ import annotations

import torch
from tiny_nets import corner_net, corners, same_state, snapshot
from torch import nn

from rnp_cli.defense.channels import Channel, find_channel_layers
from rnp_cli.defense.prune import prune, zero_rows, zeroed_rows

IMAGES = corners(4, seed=0).images


def test_only_the_named_rows_are_zero_and_only_in_the_copy() -> None:
    model = corner_net()
    layers = find_channel_layers(model, IMAGES)
    before = snapshot(model)

    pruned = prune(model, layers, [Channel("1", 4), Channel("1", 0), Channel("5", 2)])

    assert same_state(model, before)
    after = pruned.state_dict()
    expected = snapshot(model)
    expected["1.weight"][[0, 4]] = 0
    expected["5.weight"][2] = 0
    assert all(torch.equal(after[name], expected[name]) for name in expected)


def test_a_channel_with_a_bias_of_its_own_loses_it_too() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
    )
    layers = find_channel_layers(model, IMAGES)

    pruned = prune(model, layers, [Channel("0", 3)])

    assert not pruned[0](IMAGES)[:, 3].any()
    assert torch.equal(pruned[0](IMAGES)[:, :3], model[0](IMAGES)[:, :3])


def test_nothing_to_prune_gives_an_equal_copy() -> None:
    model = corner_net()

    pruned = prune(model, find_channel_layers(model, IMAGES), [])

    assert pruned is not model
    assert same_state(pruned, snapshot(model))


def test_rows_are_listed_once_and_in_order() -> None:
    model = corner_net()
    layers = find_channel_layers(model, IMAGES)
    channels = [Channel("1", 5), Channel("1", 2), Channel("1", 5)]

    assert zeroed_rows(layers, channels) == {"1.weight": [2, 5]}


def test_rows_are_zeroed_in_place_whatever_the_dtype() -> None:
    tensors = {
        "half": torch.ones(3, 2, dtype=torch.bfloat16),
        "leaf": nn.Parameter(torch.ones(3)),
        "other": torch.ones(3),
    }

    zero_rows(tensors, {"half": [1], "leaf": {2, 0}})

    assert tensors["half"].sum(1).tolist() == [2, 0, 2]
    assert tensors["leaf"].tolist() == [0, 1, 0]
    assert tensors["other"].tolist() == [1, 1, 1]
