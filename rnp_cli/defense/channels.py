"""Which channels a network has, where each one's mask goes, and what feeds it.

The authors mask the weight of every BatchNorm layer, which reaches nothing in a
network, or in a part of one, without BatchNorm. Departure: there, convolutions and
linear layers carry the mask themselves. What feeds what is read from the autograd
graph of one forward pass, so it holds for any module, and a branch that is not
executed carries no mask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Kind = Literal["batchnorm", "convolution", "linear"]
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, kw_only=True)
class ChannelLayer:
    """A layer whose channels are masked.

    scaled: parameters that a channel's mask multiplies along their first dimension,
    and that pruning sets to zero. A BatchNorm's bias is not among them (the
    authors' code leaves it).
    producers: layers with one row of weights per channel that feed this layer, or
    the layer itself.
    """

    name: str
    kind: Kind
    channels: int
    scaled: tuple[str, ...]
    producers: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Channel:
    """One channel ("neuron" or "filter" in the paper) of a layer."""

    layer: str
    index: int


def kind_of(module: nn.Module) -> Kind | None:
    """Name the kind of channels that a module has, or None.

    A weight that is computed from others (weight norm, say) cannot carry a mask.
    """
    if "weight" not in dict(module.named_parameters(recurse=False)):
        return None
    if isinstance(module, _NORMS):
        return "batchnorm"
    if isinstance(module, _CONVOLUTIONS):
        return "convolution"
    return "linear" if isinstance(module, nn.Linear) else None


def has_batchnorm(layers: Iterable[ChannelLayer]) -> bool:
    """Return whether some of these layers are BatchNorm's."""
    return any(layer.kind == "batchnorm" for layer in layers)


def find_channel_layers(model: nn.Module, images: Tensor) -> tuple[ChannelLayer, ...]:
    """List the maskable layers of ``model`` in the order in which they run.

    images: a small batch (batch, channel, height, width) that the model accepts.
    The layer that makes the logits is never among them: to mask it would be to
    mask classes. Nor is one that shares a weight with another, which the mask would
    reach as well.
    """
    nodes, output = _trace(model, images)
    names = list(dict.fromkeys(nodes.values()))
    kinds = {name: kind_of(model.get_submodule(name)) for name in names}
    logit_layers = _upstream([output], nodes)
    feeding: dict[str, set[str]] = {name: set() for name in names}
    for node, name in nodes.items():
        if kinds[name] == "batchnorm":
            feeding[name] |= _upstream([n for n, _ in node.next_functions], nodes)
    normalized = set().union(*feeding.values())
    layers = []
    for name in names:
        kind = kinds[name]
        if kind is None or name in logit_layers:
            continue
        if kind == "batchnorm":
            layers.append(_batchnorm_layer(model, name, feeding[name]))
        elif name not in normalized:
            layers.append(_own_mask_layer(model, name, kind))
    shared = _shared(model)
    return tuple(layer for layer in layers if shared.isdisjoint(_weights(layer)))


def _shared(model: nn.Module) -> set[str]:
    """Return the names of all parameters that more than one module has."""
    named = [
        (f"{prefix}.{name}", parameter)
        for prefix, module in model.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
    ]
    count = Counter(id(parameter) for _, parameter in named)
    return {name for name, parameter in named if count[id(parameter)] > 1}


def _weights(layer: ChannelLayer) -> set[str]:
    """Return the names of the parameters that pruning its channels may change."""
    return {*layer.scaled, *(f"{name}.weight" for name in layer.producers)}


def _trace(model: nn.Module, images: Tensor) -> tuple[dict[Any, str], Any]:
    """Run once; return autograd node -> layer name in order, and the output's node."""
    nodes: dict[Any, str] = {}
    hooks = []
    for name, module in model.named_modules():
        if kind_of(module) is not None:

            def remember(_m: nn.Module, _i: Any, out: Tensor, name: str = name) -> None:
                nodes[out.grad_fn] = name

            hooks.append(module.register_forward_hook(remember))
    was_training = {name: module.training for name, module in model.named_modules()}
    frozen = [p for p in model.parameters() if not p.requires_grad]
    try:
        model.eval()
        for parameter in frozen:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            output = model(images)
    finally:
        for hook in hooks:
            hook.remove()
        for parameter in frozen:
            parameter.requires_grad_(False)
        for name, module in model.named_modules():
            module.training = was_training[name]
    return nodes, output.grad_fn


def _upstream(start: Iterable[Any], nodes: dict[Any, str]) -> set[str]:
    """Names of the first layers met when walking back from ``start``."""
    found: set[str] = set()
    seen: set[Any] = set()
    waiting = [node for node in start if node is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in nodes:
            found.add(nodes[node])
        else:
            waiting.extend(n for n, _ in node.next_functions if n is not None)
    return found


def _batchnorm_layer(
    model: nn.Module, name: str, feeding: Collection[str]
) -> ChannelLayer:
    channels = len(model.get_parameter(f"{name}.weight"))
    producers = tuple(
        producer
        for producer in sorted(feeding)
        if kind_of(model.get_submodule(producer)) != "batchnorm"
        and len(model.get_parameter(f"{producer}.weight")) == channels
    )
    return ChannelLayer(
        name=name,
        kind="batchnorm",
        channels=channels,
        scaled=(f"{name}.weight",),
        producers=producers,
    )


def _own_mask_layer(model: nn.Module, name: str, kind: Kind) -> ChannelLayer:
    scaled = [f"{name}.weight"]
    if model.get_submodule(name).bias is not None:
        scaled.append(f"{name}.bias")
    return ChannelLayer(
        name=name,
        kind=kind,
        channels=len(model.get_parameter(scaled[0])),
        scaled=tuple(scaled),
        producers=(name,),
    )
