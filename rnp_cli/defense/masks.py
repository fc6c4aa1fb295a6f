"""A network seen through channel masks, without a second version of the network.

``torch.func.functional_call`` swaps each masked parameter for its product with the
mask, so any module can be masked as it stands, and cloned buffers keep its
BatchNorm statistics out of reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rnp_cli.defense.channels import ChannelLayer

Masks = Mapping[str, Tensor]  # layer name -> (channel,), float32 in [0, 1]


def full_masks(
    layers: Sequence[ChannelLayer], device: torch.device
) -> dict[str, Tensor]:
    """Masks that let every channel through."""
    return {
        layer.name: torch.ones(layer.channels, device=device, requires_grad=True)
        for layer in layers
    }


class MaskedModel:
    """``model`` with the masks multiplied into its weights, which stay as they are."""

    def __init__(self, model: nn.Module, layers: Sequence[ChannelLayer]) -> None:
        self._model = model
        self._layers = layers
        self._weights = {name: p.detach() for name, p in model.named_parameters()}
        self._buffers = {name: b.clone() for name, b in model.named_buffers()}

    def __call__(self, images: Tensor, masks: Masks) -> Tensor:
        """Logits (batch, class) for images (batch, channel, height, width)."""
        state = {**self._weights, **self._buffers}
        for layer in self._layers:
            mask = masks[layer.name]
            for name in layer.scaled:
                weight = self._weights[name]
                state[name] = weight * mask.view(-1, *[1] * (weight.ndim - 1))
        logits: Tensor = functional_call(self._model, state, (images,))
        return logits
