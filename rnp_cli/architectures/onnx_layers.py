"""The nodes of an ONNX graph that become torch layers, with weights of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.architectures.onnx_linear import LINEAR
from rnp_cli.architectures.onnx_windows import pads_of, pair, symmetric
from rnp_cli.architectures.shapes import Shape
from rnp_cli.graph import OnnxNode


@dataclass(frozen=True, kw_only=True)
class Layer:
    """How a node's layer is built, and which of the checkpoint's tensors it takes.

    ``transposed``: the checkpoint's weight has inputs as rows, the layer's outputs.
    """

    build: Callable[[], nn.Module]
    tensors: Mapping[str, str]  # parameter or buffer of the layer -> checkpoint's name
    transposed: bool = False


class PaddedConv2d(nn.Conv2d):
    """A convolution whose padding may differ from side to side."""

    def __init__(self, node: OnnxNode, weight: Shape, *, bias: bool) -> None:
        groups = node.attributes.get("group", 1)
        if not isinstance(groups, int) or weight[0] % groups:
            raise ValueError(f"{groups} groups do not divide {weight[0]} channels")
        kernel = (weight[2], weight[3])
        fixed = None
        if node.attributes.get("auto_pad", "NOTSET") == "NOTSET":
            fixed = symmetric(pads_of(node, (), kernel))
        super().__init__(
            weight[1] * groups,
            weight[0],
            kernel,
            stride=pair(node, "strides"),
            padding=fixed or 0,
            dilation=pair(node, "dilations"),
            groups=groups,
            bias=bias,
        )
        self._kernel = kernel
        self._padded_by = None if fixed else node

    def forward(self, input: Tensor) -> Tensor:
        """Convolve images (batch, channel, height, width)."""
        if self._padded_by is not None:
            input = F.pad(
                input, pads_of(self._padded_by, input.shape[2:], self._kernel)
            )
        return super().forward(input)


class AnyBatchNorm(nn.BatchNorm2d):
    """Batch normalization of images or of flat features (batch, channel)."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError("BatchNormalization of something without channels")


def layer_of(node: OnnxNode, shapes: Mapping[str, Shape]) -> Layer | None:
    """Return the layer that a node is, or None for a plain function.

    shapes: of the checkpoint's tensors. Raises ValueError where a layer's weights are
    not among them, or do not fit together.
    """
    make = LAYERS.get(node.op)
    return None if make is None else make(node, shapes)


def _convolution(node: OnnxNode, shapes: Mapping[str, Shape]) -> Layer:
    weight = _shape(node, 1, shapes)
    kernel = node.attributes.get("kernel_shape", weight[2:])
    if len(weight) != 4 or 0 in weight or kernel != weight[2:]:
        raise ValueError("the weight of a convolution is not that of one over images")
    tensors = {"weight": node.inputs[1]}
    if len(node.inputs) > 2:
        tensors["bias"] = node.inputs[2]
        _expect(node, 2, (weight[0],), shapes)
    build = partial(PaddedConv2d, node, weight, bias="bias" in tensors)
    return Layer(build=build, tensors=tensors)


def _linear(node: OnnxNode, shapes: Mapping[str, Shape]) -> Layer:
    rows, columns = _shape(node, 1, shapes)
    transposed = not node.attributes["transB"]
    inputs, outputs = (rows, columns) if transposed else (columns, rows)
    names = dict(zip(("weight", "bias"), node.inputs[1:], strict=False))
    build = partial(nn.Linear, inputs, outputs, bias="bias" in names)
    return Layer(build=build, tensors=names, transposed=transposed)


def _batch_norm(node: OnnxNode, shapes: Mapping[str, Shape]) -> Layer:
    scale = _shape(node, 1, shapes)
    if len(scale) != 1:
        raise ValueError("BatchNormalization has no plain list of scales")
    for place in (2, 3, 4):
        _expect(node, place, scale, shapes)
    names = ("weight", "bias", "running_mean", "running_var")
    epsilon = node.attributes.get("epsilon", 1e-5)
    kept = node.attributes.get("momentum", 0.9)
    if not isinstance(epsilon, float) or not isinstance(kept, float):
        raise ValueError("BatchNormalization has settings that are no numbers")
    # ONNX counts what is kept of the old statistics, torch what is taken of the new
    build = partial(AnyBatchNorm, scale[0], eps=epsilon, momentum=1 - kept)
    return Layer(build=build, tensors=dict(zip(names, node.inputs[1:], strict=True)))


def _shape(node: OnnxNode, place: int, shapes: Mapping[str, Shape]) -> Shape:
    name = node.inputs[place]
    if name not in shapes:
        raise ValueError(f"the weight of a {node.op} is computed, not stored")
    return shapes[name]


def _expect(
    node: OnnxNode, place: int, wanted: Shape, shapes: Mapping[str, Shape]
) -> None:
    if _shape(node, place, shapes) != wanted:
        raise ValueError(f"the weights of a {node.op} do not fit each other")


LAYERS: dict[str, Callable[[OnnxNode, Mapping[str, Shape]], Layer]] = {
    "Conv": _convolution,
    LINEAR: _linear,
    "BatchNormalization": _batch_norm,
}
