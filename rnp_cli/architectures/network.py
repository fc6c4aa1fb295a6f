"""The torch module of a network that is written as steps."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.architectures.steps import (
    Activation,
    AveragePool,
    Block,
    Conv,
    Dropout,
    Layer,
    Linear,
    MaxPool,
    Norm,
    Pad,
    Step,
    Steps,
    layers_of,
)

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "elu": F.elu,
}


class Network(nn.Module):
    """Images (batch, in_channels, height, width) float32 to (batch, classes) logits."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps
        _plant(self, steps)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, num_classes)."""
        return _run(self, self._steps, images)


class _Block(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self._block = block
        _plant(self, (*block.entry, *block.body, *(block.shortcut or ())))

    def forward(self, x: Tensor) -> Tensor:
        block = self._block
        entered = _run(self, block.entry, x)
        out = _run(self, block.body, entered)
        if block.shortcut is None:
            return out
        around = entered if block.shortcut_is_after_entry else x
        return out + _run(self, block.shortcut, around)


def _plant(module: nn.Module, steps: Steps) -> None:
    """Give the module its layers; dots in their names are modules without a forward."""
    for layer in layers_of(steps):
        *path, last = layer.name.split(".")
        parent = module
        for name in path:
            if name not in parent._modules:
                parent.add_module(name, nn.Module())
            parent = parent.get_submodule(name)
        parent.add_module(last, _made(layer))


def _made(layer: Layer) -> nn.Module:
    match layer:
        case Conv():
            return nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel,
                layer.stride,
                layer.kernel // 2,
                groups=layer.groups,
                bias=layer.bias,
            )
        case Norm():
            return nn.BatchNorm2d(layer.channels)
        case Linear():
            return nn.Linear(layer.inputs, layer.outputs)
        case Block():
            return _Block(layer)


def _run(module: nn.Module, steps: Steps, x: Tensor) -> Tensor:
    for step in steps:
        x = _apply(module, step, x)
    return x


def _apply(module: nn.Module, step: Step, x: Tensor) -> Tensor:
    match step:
        case Activation():
            return _ACTIVATIONS[step.kind](x)
        case MaxPool():
            return F.max_pool2d(x, step.kernel, step.stride, step.padding)
        case AveragePool():
            return F.adaptive_avg_pool2d(x, step.side).flatten(1)
        case Dropout():
            return F.dropout(x, step.share, module.training)
        case Pad():
            sampled = x[:, :, :: step.stride, :: step.stride]
            return F.pad(sampled, (0, 0, 0, 0, step.before, step.after))
        case _:
            out: Tensor = module.get_submodule(step.name)(x)
            return out
