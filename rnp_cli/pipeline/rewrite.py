"""Write a changed network back to the checkpoint's own tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rnp_cli.architectures import Architecture
from rnp_cli.pipeline.names import Names


def rewrite(
    state_dict: Mapping[str, Tensor],
    architecture: Architecture,
    before: nn.Module,
    after: nn.Module,
) -> dict[str, Tensor]:
    """Copy the tensors, and change what differs between the two networks.

    What is equal in both keeps the checkpoint's own value, bit by bit, whatever its
    type; the rest is rounded to that type. A matrix that the network keeps the other
    way round is turned.
    """
    names = Names(architecture.key_map)
    copied = {name: tensor.clone() for name, tensor in state_dict.items()}
    # A parameter that the network shares has several names in the checkpoint.
    old = dict(before.named_parameters(remove_duplicate=False))
    for name, parameter in after.named_parameters(remove_duplicate=False):
        theirs = names.of(name)
        changed = (parameter != old[name]).detach().cpu()
        value = parameter.detach().cpu()
        if theirs in architecture.transposed:
            changed, value = changed.t(), value.t()
        tensor = copied[theirs]
        copied[theirs] = torch.where(changed, value.to(tensor.dtype), tensor)
    return copied
