"""Rank: which channels to prune first.

By mask value, as in the paper. Departure: recovery often drives dozens of masks to
exactly zero, where the paper's order says nothing; among equals, the channel whose
weights moved farthest while unlearning goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnp_cli.defense.channels import Channel, ChannelLayer
from rnp_cli.defense.recover import ChannelMasks


@dataclass(frozen=True, kw_only=True)
class RankedChannel:
    """A channel, the evidence against it, and its place (1 is pruned first).

    mask: in [0, 1] after recovery. change: how far the weights moved while
    unlearning, 1.0 being the mean of the layer.
    """

    channel: Channel
    rank: int
    mask: float
    change: float


def rank(masks: ChannelMasks, change: dict[str, Tensor]) -> tuple[RankedChannel, ...]:
    """Order all channels, the first to prune first."""
    evidence = [
        (float(masks.value[layer.name][i]), float(change[layer.name][i]), layer.name, i)
        for layer in masks.layers
        for i in range(layer.channels)
    ]
    evidence.sort(key=lambda e: (e[0], -e[1]))
    return tuple(
        RankedChannel(channel=Channel(name, i), rank=place, mask=mask, change=moved)
        for place, (mask, moved, name, i) in enumerate(evidence, start=1)
    )


def weight_change(
    original: nn.Module, unlearned: nn.Module, layers: Sequence[ChannelLayer]
) -> dict[str, Tensor]:
    """How far each channel's weights moved, (channel,) per layer, CPU.

    The Euclidean distance over the layer's own parameters and the rows of the
    convolutions or linear layers that feed it, divided by the layer's mean.
    """
    moved = {}
    for layer in layers:
        squared = torch.zeros(layer.channels, dtype=torch.float64)
        for name in sorted({layer.name, *layer.producers}):
            after = dict(unlearned.get_submodule(name).named_parameters(recurse=False))
            before = original.get_submodule(name).named_parameters(recurse=False)
            for parameter, value in before:
                difference = (after[parameter] - value).detach().cpu().double()
                squared += difference.reshape(layer.channels, -1).square().sum(1)
        distance = squared.sqrt()
        moved[layer.name] = distance / distance.mean().clamp_min(1e-12)
    return moved
