"""Cut channels out of a checkpoint's own tensors, whatever they are called there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from rnp_cli.architectures import Architecture
from rnp_cli.defense.channels import Channel, ChannelLayer
from rnp_cli.defense.prune import zero_rows, zeroed_rows
from rnp_cli.pipeline.describe import Names


def cut(
    state_dict: Mapping[str, Tensor],
    architecture: Architecture,
    model: nn.Module,
    layers: Sequence[ChannelLayer],
    channels: Iterable[Channel],
) -> dict[str, Tensor]:
    """Copy the tensors, and zero what the channels of the model's layers are.

    A matrix that the module keeps the other way round is cut along its columns.
    """
    names = Names(architecture.key_map)
    copied = {name: tensor.clone() for name, tensor in state_dict.items()}
    by_row = {
        name: tensor.t() if name in architecture.transposed else tensor
        for name, tensor in copied.items()
    }
    rows = zeroed_rows(layers, channels)
    # A parameter that the network shares has several names in the checkpoint.
    shared = dict(model.named_parameters(remove_duplicate=False))
    pruned = {id(shared[name]): indices for name, indices in rows.items()}
    for name, parameter in shared.items():
        if id(parameter) in pruned:
            zero_rows(by_row, {names.of(name): pruned[id(parameter)]})
    return copied
