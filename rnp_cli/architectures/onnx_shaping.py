"""ONNX operators that move values around, and those that compute shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rnp_cli.architectures.onnx_run import Call, Operator, on_host

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


def _flatten(call: Call) -> Tensor:
    shape = call.x.shape
    axis = call.whole("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return call.x.reshape(math.prod(shape[:axis]), math.prod(shape[axis:]))


def _reshape(call: Call) -> Tensor:
    x = call.x
    shape = call.integers("shape", 1) or []
    if not call.whole("allowzero", 0):
        shape = [x.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    fixed, batch = call.graph.input.shape[0], len(call.images)
    is_batch = x.is_floating_point() and x.ndim > 0 and x.shape[0] == batch
    if is_batch and shape and shape[0] == fixed:
        shape[0] = batch  # exported for one batch size; the axis is the same
    return x.reshape(shape)


def _squeeze(call: Call) -> Tensor:
    axes = call.integers("axes", 1)
    return call.x.squeeze() if axes is None else call.x.squeeze(axes)


def _unsqueeze(call: Call) -> Tensor:
    axes = call.integers("axes", 1) or []
    rank = call.x.ndim + len(axes)
    x = call.x
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _transpose(call: Call) -> Tensor:
    order = call.integers("perm", len(call.values))
    return call.x.permute(order or list(reversed(range(call.x.ndim))))


def _concat(call: Call) -> Tensor:
    parts = [value for value in call.values if value is not None]
    return torch.cat(parts, call.whole("axis", 0))


def _pad(call: Call) -> Tensor:
    x, pads = call.x, call.integers("pads", 1) or []
    axes = call.integers("axes", 3)
    axes = list(range(x.ndim)) if axes is None else [a % x.ndim for a in axes]
    if len(pads) != 2 * len(axes) or not x.is_floating_point():
        raise ValueError(f"{len(pads)} pads do not fit {len(axes)} axes")
    before = dict(zip(axes, pads, strict=False))
    after = dict(zip(axes, pads[len(axes) :], strict=True))
    flat = [p for a in range(x.ndim) for p in (after.get(a, 0), before.get(a, 0))][::-1]
    while flat and flat[-2:] == [0, 0]:
        del flat[-2:]  # reflecting works on the last axes only
    mode = _PAD_MODES[str(call.attribute("mode", "constant"))]
    if mode != "constant":
        return F.pad(x, flat, mode)
    return F.pad(x, flat, value=call.scalar(2, call.number("value", 0.0)))


def _slice(call: Call) -> Tensor:
    x = call.x
    starts, ends = call.integers("starts", 1) or [], call.integers("ends", 2) or []
    axes = call.integers("axes", 3)
    axes = list(range(len(starts))) if axes is None else axes
    steps = call.integers("steps", 4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        places = range(*slice(start, end, step).indices(x.shape[axis]))
        if step > 0:
            index: list[slice] = [slice(None)] * x.ndim
            index[axis] = slice(places.start, max(places.stop, places.start), step)
            x = x[tuple(index)]
        else:
            x = x.index_select(axis, on_host(places).to(x.device))
    return x


def _shape(call: Call) -> Tensor:
    end = call.node.attributes.get("end")
    stop = end if isinstance(end, int) else None
    return on_host(list(call.x.shape[call.whole("start", 0) : stop]))


def _gather(call: Call) -> Tensor:
    x, indices = call.x, _indices(call)
    axis = call.whole("axis", 0) % max(call.x.ndim, 1)
    places = _places(indices.flatten().tolist(), x.shape[axis])
    taken = x.index_select(axis, on_host(places).to(x.device))
    return taken.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def _gather_nd(call: Call) -> Tensor:
    x, indices = call.x, _indices(call)
    columns = [
        on_host(_places(column.flatten().tolist(), x.shape[axis]))
        .view(column.shape)
        .to(x.device)
        for axis, column in enumerate(indices.unbind(-1))
    ]
    return x[tuple(columns)]


def _indices(call: Call) -> Tensor:
    indices = call.get(1)
    if indices is None or indices.is_floating_point():
        raise ValueError("the positions to gather are no integers")
    return indices


def _places(indices: Sequence[int], size: int) -> list[int]:
    """Count from the front; a GPU would not check what it is asked for."""
    if any(not -size <= index < size for index in indices):
        raise IndexError(f"a position is outside of {size}")
    return [index % size for index in indices]


SHAPING: dict[str, Operator] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Pad": _pad,
    "Slice": _slice,
    "Shape": _shape,
    "Gather": _gather,
    "GatherND": _gather_nd,
}
