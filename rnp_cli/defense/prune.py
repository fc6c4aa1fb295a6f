"""Prune: set the chosen channels of the original model to zero (§3.3)."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from rnp_cli.defense.channels import Channel, ChannelLayer


def zeroed_rows(
    layers: Sequence[ChannelLayer], channels: Iterable[Channel]
) -> dict[str, list[int]]:
    """Parameter name -> rows that pruning these channels sets to zero."""
    scaled = {layer.name: layer.scaled for layer in layers}
    rows: dict[str, list[int]] = {}
    for channel in channels:
        for name in scaled[channel.layer]:
            rows.setdefault(name, []).append(channel.index)
    return {name: sorted(set(indices)) for name, indices in rows.items()}


def zero_rows(
    tensors: Mapping[str, Tensor], rows: Mapping[str, Collection[int]]
) -> None:
    """Set these rows of these tensors to zero, in place."""
    with torch.no_grad():
        for name, indices in rows.items():
            tensors[name][sorted(indices)] = 0


def prune(
    model: nn.Module,
    layers: Sequence[ChannelLayer],
    channels: Iterable[Channel],
) -> nn.Module:
    """Return a copy of ``model`` with the channels cut."""
    pruned = copy.deepcopy(model)
    zero_rows(dict(pruned.named_parameters()), zeroed_rows(layers, channels))
    return pruned
