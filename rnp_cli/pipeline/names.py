"""The checkpoint's names of the parameters and layers of the classifier."""

from __future__ import annotations

from collections.abc import Mapping

from rnp_cli.defense.channels import Channel

_INSIDE = "network."  # where the classifier keeps the checkpoint's network


def inside(channel: Channel) -> Channel:
    """Return a channel of the classifier as one of the network in it."""
    return Channel(channel.layer.removeprefix(_INSIDE), channel.index)


class Names:
    """The checkpoint's names of the parameters and layers of the classifier."""

    def __init__(self, key_map: Mapping[str, str]) -> None:
        self._checkpoint_name = {ours: theirs for theirs, ours in key_map.items()}

    def of(self, parameter: str) -> str:
        """Return the checkpoint's name of a parameter."""
        return self._checkpoint_name[parameter.removeprefix(_INSIDE)]

    def of_layer(self, layer: str) -> str:
        """Return the checkpoint's name of a layer that has a weight."""
        return self.of(f"{layer}.weight").removesuffix(".weight")
