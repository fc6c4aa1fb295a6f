"""ONNX operators over windows: where they are padded, and how they pool."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from rnp_cli.architectures.onnx_run import Call, Operator
from rnp_cli.graph import OnnxNode

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # left, right, top, bottom: as F.pad has them


def pair(node: OnnxNode, name: str, default: int = 1) -> Pair:
    """Return an attribute with one number for height and one for width."""
    value = node.attributes.get(name, (default, default))
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"{name} is not for height and width")
    return value[0], value[1]


def pads_of(node: OnnxNode, size: Sequence[int], kernel: Pair) -> Pads:
    """Return how an input of this height and width is padded before a window op."""
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode == "VALID":
        return 0, 0, 0, 0
    if mode == "NOTSET":
        pads = node.attributes.get("pads", (0, 0, 0, 0))
        if not isinstance(pads, tuple) or len(pads) != 4:
            raise ValueError("pads are not for height and width")
        top, left, bottom, right = pads
        return left, right, top, bottom
    strides, dilations = pair(node, "strides"), pair(node, "dilations")
    sides: list[int] = []
    for axis in (1, 0):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        steps = -(-size[axis] // strides[axis]) - 1
        total = max(0, steps * strides[axis] + reach - size[axis])
        small, large = total // 2, total - total // 2
        sides += [small, large] if mode == "SAME_UPPER" else [large, small]
    return sides[0], sides[1], sides[2], sides[3]


def symmetric(pads: Pads) -> Pair | None:
    """Return (height, width) padding where both sides of each axis are equal."""
    left, right, top, bottom = pads
    return (top, left) if left == right and top == bottom else None


def _max_pool(call: Call) -> Tensor:
    x, node = call.x, call.node
    kernel = pair(node, "kernel_shape")
    pads = pads_of(node, x.shape[2:], kernel)
    padding = symmetric(pads)
    if padding is None or any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        x, padding = F.pad(x, pads, value=-math.inf), (0, 0)
    return F.max_pool2d(
        x,
        kernel,
        stride=pair(node, "strides"),
        padding=padding,
        dilation=pair(node, "dilations"),
        ceil_mode=bool(call.whole("ceil_mode", 0)),
    )


def _average_pool(call: Call) -> Tensor:
    x, node = call.x, call.node
    kernel, strides = pair(node, "kernel_shape"), pair(node, "strides")
    if pair(node, "dilations") != (1, 1):
        raise ValueError("averages over dilated windows are not supported")
    pads = pads_of(node, x.shape[2:], kernel)
    padding = symmetric(pads)
    counts_pad = bool(call.whole("count_include_pad", 0))
    ceil = bool(call.whole("ceil_mode", 0))
    if padding is not None and all(
        2 * p <= k for p, k in zip(padding, kernel, strict=True)
    ):
        return F.avg_pool2d(x, kernel, strides, padding, ceil, counts_pad)
    sums = F.avg_pool2d(F.pad(x, pads), kernel, strides, 0, ceil)
    if counts_pad:
        return sums
    inside = F.pad(x.new_ones(1, 1, *x.shape[2:]), pads)
    return sums / F.avg_pool2d(inside, kernel, strides, 0, ceil)


def _reduce_mean(call: Call) -> Tensor:
    axes = call.integers("axes", 1)
    if not axes:
        if call.whole("noop_with_empty_axes", 0):
            return call.x
        axes = list(range(call.x.ndim))
    return call.x.mean(axes, keepdim=bool(call.whole("keepdims", 1)))


WINDOWS: dict[str, Operator] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda call: call.x.mean((2, 3), keepdim=True),
    "GlobalMaxPool": lambda call: call.x.amax((2, 3), keepdim=True),
    "ReduceMean": _reduce_mean,
}
