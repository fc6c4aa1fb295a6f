"""Which entries of a layer's input are zero, whatever the image.

Pruning leaves a channel constant, not zero: a BatchNorm's bias is still added. Behind a
ReLU that is zero when the bias is not positive, and what is zero need not be computed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rnp_cli.defense.channels import Channel, kind_of


def always_zero(
    network: nn.Module, pruned: Collection[Channel], image: Tensor
) -> dict[str, Tensor]:
    """Return by layer which entries of its input are zero for every image.

    An image of NaN stains all that depends on it, while the pruned channels, which do
    not, are held at their constants: what is not stained is what any image would give.
    image: (1, channel, height, width), of the size that the network is for.
    """
    zeros: dict[str, Tensor] = {}
    hooks = []
    for name, module in network.named_modules():
        if kind_of(module) is None:
            continue
        along = -1 if isinstance(module, nn.Linear) else 1
        indices = [channel.index for channel in pruned if channel.layer == name]

        def look(
            _: nn.Module, entered: Any, name: str = name, along: int = along
        ) -> None:
            is_zero = (entered[0] == 0).movedim(along, 0).flatten(1).all(1)
            zeros[name] = zeros.get(name, is_zero) & is_zero

        def hold(
            module: nn.Module,
            _: Any,
            out: Tensor,
            along: int = along,
            indices: Sequence[int] = indices,
        ) -> None:
            for index, constant in _constants(module, indices):
                out.select(along, index).fill_(constant)

        hooks.append(module.register_forward_pre_hook(look))
        hooks.append(module.register_forward_hook(hold))
    try:
        with torch.no_grad():
            network(torch.full_like(image, torch.nan))
    finally:
        for hook in hooks:
            hook.remove()
    return zeros


def _constants(
    module: nn.Module, indices: Iterable[int]
) -> Iterator[tuple[int, float]]:
    """Yield the channels that no input reaches, and what they are."""
    weight, bias = module.get_parameter("weight"), getattr(module, "bias", None)
    for index in indices:
        if not weight[index].any():
            yield index, 0.0 if bias is None else bias[index].item()
