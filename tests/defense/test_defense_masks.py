from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_nets import corner_net, corners, same_state, snapshot
from torch import nn

from rnp_cli.defense.channels import Channel, find_channel_layers
from rnp_cli.defense.masks import MaskedModel, full_masks
from rnp_cli.defense.prune import prune

IMAGES = corners(8, seed=0).images
CPU = torch.device("cpu")


def plain_net() -> nn.Module:
    """The same network without BatchNorm, so that its layers carry the masks."""
    return nn.Sequential(
        *(m for m in corner_net() if not isinstance(m, nn.BatchNorm2d))
    )


NETS: list[Callable[[], nn.Module]] = [corner_net, plain_net]


@pytest.mark.parametrize("make", NETS)
def test_full_masks_change_no_logit(make: Callable[[], nn.Module]) -> None:
    model = make().eval()
    layers = find_channel_layers(model, IMAGES)
    masks = full_masks(layers, CPU)

    assert torch.equal(MaskedModel(model, layers)(IMAGES, masks), model(IMAGES))
    assert {name: len(mask) for name, mask in masks.items()} == {
        layer.name: layer.channels for layer in layers
    }


@pytest.mark.parametrize("make", NETS)
def test_a_mask_of_zeros_and_ones_is_the_pruned_network(
    make: Callable[[], nn.Module],
) -> None:
    model = make().eval()
    layers = find_channel_layers(model, IMAGES)
    masks = {layer.name: torch.ones(layer.channels) for layer in layers}
    cut = [Channel(layers[0].name, 1), Channel(layers[1].name, 3)]
    for channel in cut:
        masks[channel.layer][channel.index] = 0

    masked = MaskedModel(model, layers)(IMAGES, masks)

    assert torch.equal(masked, prune(model, layers, cut)(IMAGES))
    assert not torch.equal(masked, model(IMAGES))


def test_the_model_stays_as_it_is_even_in_train_mode() -> None:
    model = corner_net().train()
    layers = find_channel_layers(model, IMAGES)
    before = snapshot(model)
    masks = full_masks(layers, CPU)

    MaskedModel(model, layers)(IMAGES, masks).sum().backward()

    assert same_state(model, before)
    assert all(p.grad is None for p in model.parameters())
    assert any(mask.grad is not None and mask.grad.any() for mask in masks.values())
