"""ONNX operators that work element by element, and those that end a classifier."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rnp_cli.architectures.onnx_run import Call, Operator

_AXIS_BY_DEFAULT_SINCE = 13  # opset from which Softmax works along one axis only
_INTEGERS = {6: torch.int32, 7: torch.int64, 9: torch.bool}  # ONNX's numbers of types
_FLOATS = (1, 10, 11, 16)


def _plain(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda call: function(call.x)


def _pair(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def run(call: Call) -> Tensor:
        other = call.get(1)
        if other is None:
            raise ValueError("the second input is missing")
        return function(call.x, other)

    return run


def _divide(a: Tensor, b: Tensor) -> Tensor:
    is_float = a.is_floating_point() or b.is_floating_point()
    return torch.div(a, b, rounding_mode=None if is_float else "trunc")


def _gemm(call: Call) -> Tensor:
    b, c = call.get(1), call.get(2)
    if b is None:
        raise ValueError("the second input is missing")
    a = call.x.t() if call.whole("transA", 0) else call.x
    b = b.t() if call.whole("transB", 0) else b
    product = call.number("alpha", 1.0) * (a @ b)
    return product if c is None else product + call.number("beta", 1.0) * c


def _clip(call: Call) -> Tensor:
    low, high = -math.inf, math.inf
    return call.x.clamp(
        call.scalar(1, call.number("min", low)),
        call.scalar(2, call.number("max", high)),
    )


def _hard_sigmoid(call: Call) -> Tensor:
    return (call.number("alpha", 0.2) * call.x + call.number("beta", 0.5)).clamp(0, 1)


def _gelu(call: Call) -> Tensor:
    return F.gelu(call.x, approximate=str(call.attribute("approximate", "none")))


def _softmax(function: Callable[[Tensor, int], Tensor]) -> Operator:
    def run(call: Call) -> Tensor:
        if call.graph.opset >= _AXIS_BY_DEFAULT_SINCE:
            return function(call.x, call.whole("axis", -1))
        axis = call.whole("axis", 1) % call.x.ndim
        rows = math.prod(call.x.shape[:axis])
        return function(call.x.reshape(rows, -1), 1).view(call.x.shape)

    return run


def _cast(call: Call) -> Tensor:
    to = call.whole("to", 0)
    if to in _FLOATS:
        # the network computes in float32, whatever the file stores
        return call.x.to(call.images.device, torch.float32)
    if to not in _INTEGERS or call.x.is_floating_point():
        raise ValueError(f"casts {call.x.dtype} to type {to}")
    return call.x.to(_INTEGERS[to])


POINTWISE: dict[str, Operator] = {
    "Add": _pair(torch.add),
    "Sub": _pair(torch.sub),
    "Mul": _pair(torch.mul),
    "Div": _pair(_divide),
    "Pow": _pair(torch.pow),
    "PRelu": _pair(lambda x, slope: torch.where(x < 0, slope * x, x)),
    "MatMul": _pair(torch.matmul),
    "Gemm": _gemm,
    "Relu": _plain(F.relu),
    "Sigmoid": _plain(torch.sigmoid),
    "Tanh": _plain(torch.tanh),
    "Softplus": _plain(F.softplus),
    "HardSwish": _plain(F.hardswish),
    "Mish": _plain(F.mish),
    "Erf": _plain(torch.erf),
    "Sqrt": _plain(torch.sqrt),
    "Exp": _plain(torch.exp),
    "Abs": _plain(torch.abs),
    "Neg": _plain(torch.neg),
    "LeakyRelu": lambda call: F.leaky_relu(call.x, call.number("alpha", 0.01)),
    "Elu": lambda call: F.elu(call.x, call.number("alpha", 1.0)),
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Clip": _clip,
    "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
    "Identity": _plain(lambda x: x),
    "Dropout": _plain(lambda x: x),
    "Cast": _cast,
}
