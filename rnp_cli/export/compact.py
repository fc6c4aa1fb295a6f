"""Take pruned channels out of a network where its answers are the same without them.

torch-pruning knows which layers must be cut together; this decides which may be.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnp_cli.defense.channels import Channel, kind_of
from rnp_cli.errors import RnpError
from rnp_cli.export.always_zero import always_zero
from rnp_cli.export.extras import imported
from rnp_cli.export.quiet import quiet

# What stands between layers and leaves channels where they are, as the library sees it.
_BETWEEN = ("_ElementWiseOp", "_ReshapeOp")


@dataclass(frozen=True, eq=False)
class Compacted:
    """A network without the pruned channels that could go. removed: how many did."""

    network: nn.Module
    removed: int


def compacted(
    network: nn.Module, pruned: Collection[Channel], image: Tensor
) -> Compacted:
    """Return a copy of ``network`` without those of the pruned channels that can go.

    A channel stays where it is constant but not zero, where others that are in use are
    coupled with it, as along a shortcut, and where it is the last of its layer.
    image: (1, channel, height, width), of the size that the network is for. Raises
    UsageError where the library is not installed.
    """
    library = imported("torch_pruning", extra="compact")
    network = copy.deepcopy(network).requires_grad_(True).eval()
    zeros = always_zero(network, pruned, image)
    graph = _Graph(library, network, image)
    makers = Counter(
        maker for channel in pruned if (maker := graph.maker_of(channel, zeros))
    )
    removed = 0
    for layer in sorted({maker.layer for maker in makers}):
        going = sorted(maker for maker in makers if maker.layer == layer)
        graph = _Graph(library, network, image)  # what was cut has moved the indices
        while going and not graph.leaves_some(layer, [maker.index for maker in going]):
            going.pop()
        if going:
            graph.coupled(layer, [maker.index for maker in going]).prune()
            removed += sum(makers[maker] for maker in going)
    return Compacted(network, removed)


class _Graph:
    """The library's view of which layers are cut together."""

    def __init__(self, library: Any, network: nn.Module, image: Tensor) -> None:
        self._network = network
        self._names = {module: name for name, module in network.named_modules()}
        try:
            with torch.enable_grad(), quiet():
                self._graph = library.DependencyGraph().build_dependency(
                    network, [image], verbose=False
                )
        except Exception as error:  # of the library, or of the user's code
            raise RnpError(
                f"torch-pruning cannot follow the network: {type(error).__name__}: "
                f"{str(error)[:200]!a}",
                hint="Leave --compact out.",
            ) from error

    def coupled(self, layer: str, indices: list[int]) -> Any:
        """Return all that has to be cut for these channels of a layer to go."""
        module = self._network.get_submodule(layer)
        pruner = self._graph.get_pruner_of_module(module)
        return self._graph.get_pruning_group(module, pruner.prune_out_channels, indices)

    def leaves_some(self, layer: str, indices: list[int]) -> bool:
        """Whether every layer keeps a channel without these."""
        return bool(self._graph.check_pruning_group(self.coupled(layer, indices)))

    def maker_of(self, channel: Channel, zeros: Mapping[str, Tensor]) -> Channel | None:
        """Return the convolution's or linear layer's channel that it goes with.

        None where it cannot go, because something reads it that is not always zero
        there, or stands in a relation to it that the library may not understand.
        """
        made: list[tuple[str, int]] = []
        read: list[tuple[str, int]] = []
        for dependency, indices in self.coupled(channel.layer, [channel.index]):
            module = dependency.target.module
            name = self._names.get(module)
            if name is None and type(module).__name__ in _BETWEEN:
                continue
            if name is None or not _is_one_to_one(module):
                return None
            is_made = self._graph.is_out_channel_pruning_fn(dependency.handler)
            (made if is_made else read).extend((name, index) for index in indices)
        widths = {
            len(self._network.get_parameter(f"{name}.weight")) for name, _ in made
        }
        if len(widths) > 1 or not all(zeros[name][index] for name, index in read):
            return None
        makers = [
            Channel(name, index)
            for name, index in made
            if _makes(self._network.get_submodule(name))
        ]
        return min(makers, default=None)


def _is_one_to_one(module: nn.Module) -> bool:
    """Whether each channel of a layer can go without another."""
    groups = getattr(module, "groups", 1)
    return kind_of(module) is not None and groups in (
        1,
        getattr(module, "in_channels", 1),
    )


def _makes(module: nn.Module) -> bool:
    """Whether a layer makes channels, rather than to pass each on."""
    return kind_of(module) != "batchnorm" and getattr(module, "groups", 1) == 1
