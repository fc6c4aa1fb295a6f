"""The operators that an ONNX graph may have: those of convolutional classifiers.

What is not in the table is refused by name. Attributes are checked one by one, so that
nothing but plain numbers and known words gets further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MIN_OPSET, MAX_OPSET = 9, 25
MIN_IR, MAX_IR = 3, 14
MAX_NODES = 10_000
_MAX_COUNT = 1 << 20
_MAX_INPUTS = 256

Check = Callable[[object], bool]


def _is_whole(value: object) -> bool:
    return type(value) is int


def _is_number(value: object) -> bool:
    return type(value) is float


def _is_flag(value: object) -> bool:
    return type(value) is int and value in (0, 1)


def _is_zero(value: object) -> bool:
    return type(value) is int and value == 0


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value <= _MAX_COUNT


def _are_whole(value: object) -> bool:
    return isinstance(value, tuple)


def _are_counts(value: object) -> bool:
    return isinstance(value, tuple) and all(_is_count(item) for item in value)


def _are_pads(value: object) -> bool:
    return isinstance(value, tuple) and all(0 <= item <= _MAX_COUNT for item in value)


def _one_of(*words: str) -> Check:
    return lambda value: value in words


@dataclass(frozen=True, kw_only=True)
class Operator:
    """How many inputs it takes, and which attributes with which values.

    ``parameters`` are the inputs that hold the weights of a layer.
    """

    inputs: tuple[int, int] = (1, 1)  # least, most
    attributes: Mapping[str, Check] = field(default_factory=dict)
    parameters: tuple[int, ...] = ()


_PLAIN = Operator()
_PAIR = Operator(inputs=(2, 2))
_AXIS = {"axis": _is_whole}
_AXES = Operator(inputs=(1, 2), attributes={"axes": _are_whole})
_WINDOW: dict[str, Check] = {
    "auto_pad": _one_of("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"),
    "dilations": _are_counts,
    "kernel_shape": _are_counts,
    "pads": _are_pads,
    "strides": _are_counts,
}
_POOL: dict[str, Check] = {**_WINDOW, "ceil_mode": _is_flag}

OPERATORS: dict[str, Operator] = {
    # layers
    "Conv": Operator(
        inputs=(2, 3), attributes={**_WINDOW, "group": _is_count}, parameters=(1, 2)
    ),
    "Gemm": Operator(
        inputs=(2, 3),
        attributes={
            "alpha": _is_number,
            "beta": _is_number,
            "transA": _is_flag,
            "transB": _is_flag,
        },
        parameters=(1, 2),
    ),
    "MatMul": Operator(inputs=(2, 2), parameters=(1,)),
    "BatchNormalization": Operator(
        inputs=(5, 5),
        attributes={
            "epsilon": _is_number,
            "momentum": _is_number,
            "training_mode": _is_zero,
        },
        parameters=(1, 2, 3, 4),
    ),
    # element by element
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "PRelu"), _PAIR),
    **dict.fromkeys(("Relu", "Sigmoid", "Tanh", "Softplus", "HardSwish"), _PLAIN),
    **dict.fromkeys(("Mish", "Erf", "Sqrt", "Exp", "Abs", "Neg"), _PLAIN),
    "LeakyRelu": Operator(attributes={"alpha": _is_number}),
    "Elu": Operator(attributes={"alpha": _is_number}),
    "HardSigmoid": Operator(attributes={"alpha": _is_number, "beta": _is_number}),
    "Gelu": Operator(attributes={"approximate": _one_of("none", "tanh")}),
    "Clip": Operator(inputs=(1, 3), attributes={"min": _is_number, "max": _is_number}),
    "Softmax": Operator(attributes=_AXIS),
    "LogSoftmax": Operator(attributes=_AXIS),
    "Identity": _PLAIN,
    "Dropout": Operator(
        inputs=(1, 3), attributes={"ratio": _is_number, "seed": _is_whole}
    ),
    "Cast": Operator(
        attributes={
            "to": _is_whole,
            "saturate": _is_flag,
            "round_mode": _one_of("up", "down", "nearest"),
        }
    ),
    # over windows and axes
    "MaxPool": Operator(attributes={**_POOL, "storage_order": _is_zero}),
    "AveragePool": Operator(attributes={**_POOL, "count_include_pad": _is_flag}),
    "GlobalAveragePool": _PLAIN,
    "GlobalMaxPool": _PLAIN,
    "ReduceMean": Operator(
        inputs=(1, 2),
        attributes={
            "axes": _are_whole,
            "keepdims": _is_flag,
            "noop_with_empty_axes": _is_flag,
        },
    ),
    # shapes
    "Flatten": Operator(attributes=_AXIS),
    "Reshape": Operator(inputs=(2, 2), attributes={"allowzero": _is_flag}),
    "Squeeze": _AXES,
    "Unsqueeze": _AXES,
    "Transpose": Operator(attributes={"perm": _are_whole}),
    "Concat": Operator(inputs=(1, _MAX_INPUTS), attributes=_AXIS),
    "Pad": Operator(
        inputs=(1, 4),
        attributes={
            "mode": _one_of("constant", "reflect", "edge"),
            "pads": _are_pads,
            "value": _is_number,
        },
    ),
    "Slice": Operator(
        inputs=(1, 5),
        attributes={"axes": _are_whole, "starts": _are_whole, "ends": _are_whole},
    ),
    "Shape": Operator(attributes={"start": _is_whole, "end": _is_whole}),
    "Gather": Operator(inputs=(2, 2), attributes=_AXIS),
    "GatherND": Operator(inputs=(2, 2), attributes={"batch_dims": _is_zero}),
}
