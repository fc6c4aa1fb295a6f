"""Each operator does what onnxruntime says, in the forms that torch never exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper
from onnx_building import SIZE, after_convolution, loaded, run_by_onnxruntime

from rnp_cli.architectures.onnx_layers import LAYERS
from rnp_cli.architectures.onnx_module import OPERATORS as COMPUTED
from rnp_cli.checkpoints.onnx_operators import OPERATORS as READ


@dataclass(frozen=True)
class Case:
    """Nodes from "x" (batch, 2, 6, 7) to "z", and the constants that they use."""

    name: str
    nodes: Sequence[NodeProto]
    arrays: dict[str, Any] = field(default_factory=dict)
    opset: int = 20


def one(
    name: str, op: str, opset: int = 20, /, arrays: Any = None, **attributes: Any
) -> Case:
    arrays = arrays or {}
    inputs = ["x", *(key if value is not None else "" for key, value in arrays.items())]
    given = {key: value for key, value in arrays.items() if value is not None}
    return Case(name, [helper.make_node(op, inputs, ["z"], **attributes)], given, opset)


def floats(*shape: int) -> Any:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def number(value: float) -> Any:
    return np.array(value, np.float32)


def whole(*values: int) -> Any:
    return np.array(values, np.int64)


POOL = {"kernel_shape": [3, 2]}
CONV = {"w": floats(4, 1, 3, 2)}
CASES = (
    *(one(op, op) for op in ("Sigmoid", "Tanh", "Softplus", "Mish", "Erf", "Exp")),
    *(one(op, op) for op in ("Abs", "Neg", "HardSwish", "HardSigmoid", "Elu")),
    *(one(op, op) for op in ("LeakyRelu", "Gelu", "Relu", "Identity", "Dropout")),
    *(one(op, op) for op in ("GlobalMaxPool", "GlobalAveragePool")),
    one("hard sigmoid given", "HardSigmoid", alpha=0.3, beta=0.1),
    one("gelu tanh", "Gelu", approximate="tanh"),
    one("prelu", "PRelu", arrays={"slope": floats(2, 1, 1)}),
    one("square", "Pow", arrays={"two": number(2)}),
    one("divide", "Div", arrays={"by": floats(1, 2, 1, 1)}),
    one("subtract", "Sub", arrays={"by": floats(2, 6, 7)}),
    one("clip attributes", "Clip", 10, min=-0.5, max=0.25),
    one("clip above", "Clip", arrays={"low": None, "high": number(0.5)}),
    one("softmax", "Softmax", axis=1),
    one("softmax of opset 12", "Softmax", 12, axis=2),
    one("log softmax of opset 11", "LogSoftmax", 11),
    one("max pool", "MaxPool", **POOL, strides=[2, 2], pads=[1, 1, 1, 1]),
    one("max pool uneven", "MaxPool", **POOL, pads=[0, 1, 2, 0]),
    one("max pool ceil", "MaxPool", **POOL, strides=[2, 3], ceil_mode=1),
    one("max pool dilated", "MaxPool", **POOL, dilations=[2, 2]),
    one("max pool same", "MaxPool", **POOL, strides=[2, 2], auto_pad="SAME_UPPER"),
    one("average pool", "AveragePool", **POOL, pads=[1, 1, 1, 1]),
    one(
        "average counting",
        "AveragePool",
        **POOL,
        pads=[1, 0, 1, 0],
        count_include_pad=1,
    ),
    one("average uneven", "AveragePool", **POOL, pads=[0, 1, 2, 0]),
    one(
        "average uneven counting",
        "AveragePool",
        **POOL,
        pads=[0, 1, 2, 0],
        count_include_pad=1,
    ),
    one("average same", "AveragePool", **POOL, auto_pad="SAME_LOWER"),
    one("conv uneven", "Conv", arrays=CONV, group=2, pads=[0, 1, 2, 0]),
    one("conv same upper", "Conv", arrays=CONV, group=2, auto_pad="SAME_UPPER"),
    one(
        "conv same lower",
        "Conv",
        arrays=CONV,
        group=2,
        auto_pad="SAME_LOWER",
        strides=[2, 2],
    ),
    one(
        "conv dilated",
        "Conv",
        arrays=CONV,
        group=2,
        dilations=[2, 3],
        pads=[1, 1, 1, 1],
    ),
    one("mean attribute", "ReduceMean", 13, axes=[2, 3]),
    one("mean input", "ReduceMean", 20, arrays={"axes": whole(-1)}, keepdims=0),
    one("reshape copies", "Reshape", arrays={"shape": whole(0, -1, 3)}),
    one("pad", "Pad", arrays={"pads": whole(0, 0, 1, 2, 0, 1, 0, 3), "v": number(9)}),
    one("pad axes", "Pad", arrays={"pads": whole(1, 2), "v": None, "axes": whole(-1)}),
    one(
        "pad reflect",
        "Pad",
        arrays={"pads": whole(0, 0, 1, 2, 0, 0, 3, 1)},
        mode="reflect",
    ),
    one("pad edge", "Pad", arrays={"pads": whole(0, 0, 1, 2, 0, 0, 3, 1)}, mode="edge"),
    one("pad attribute", "Pad", 10, pads=[0, 0, 1, 0, 0, 0, 0, 2], value=2.0),
    one(
        "slice backwards",
        "Slice",
        arrays={
            "starts": whole(-1, 1),
            "ends": whole(-(1 << 63) + 1, (1 << 63) - 1),
            "axes": whole(3, 2),
            "steps": whole(-2, 2),
        },
    ),
    one("slice attributes", "Slice", 9, starts=[1], ends=[-1], axes=[2]),
    one(
        "slice to nothing and more",
        "Slice",
        arrays={"s": whole(2), "e": whole(99), "a": whole(2)},
    ),
    one(
        "gather", "Gather", arrays={"i": np.array([[0, -1], [2, 2]], np.int64)}, axis=3
    ),
    one("gather one", "Gather", arrays={"i": np.array(1, np.int64)}, axis=1),
    one("unsqueeze", "Unsqueeze", arrays={"axes": whole(1, -1)}),
    one("unsqueeze attribute", "Unsqueeze", 11, axes=[1]),
    one("float cast", "Cast", to=1),
)
ROWS = helper.make_node("Flatten", ["x"], ["rows"])
LINEAR = (
    Case(
        "gemm with inputs as rows",
        [ROWS, helper.make_node("Gemm", ["rows", "w", "b"], ["z"])],
        {"w": floats(84, 5), "b": floats(5)},
    ),
    Case(
        "gemm scaled",
        [
            ROWS,
            helper.make_node("Gemm", ["rows", "w", "b"], ["z"], alpha=0.5, beta=2.0),
        ],
        {"w": floats(84, 5), "b": floats(5)},
    ),
    Case(
        "gemm with one bias",
        [ROWS, helper.make_node("Gemm", ["rows", "w", "b"], ["z"], transB=1)],
        {"w": floats(5, 84), "b": floats(1)},
    ),
    Case(
        "matmul and bias",
        [
            ROWS,
            helper.make_node("MatMul", ["rows", "w"], ["product"]),
            helper.make_node("Add", ["b", "product"], ["z"]),
        ],
        {"w": floats(84, 5), "b": floats(5)},
    ),
    Case(
        "matmul of a matrix turned over",
        [
            ROWS,
            helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
            helper.make_node("MatMul", ["rows", "turned"], ["z"]),
        ],
        {"w": floats(5, 84)},
    ),
    Case(
        "norm of rows",
        [
            ROWS,
            helper.make_node(
                "BatchNormalization", ["rows", *"sbmv"], ["z"], epsilon=0.1
            ),
        ],
        {k: np.abs(floats(84)) for k in "sbmv"},
    ),
)


@pytest.mark.parametrize("case", [*CASES, *LINEAR], ids=lambda case: case.name)
def test_operator_agrees_with_onnxruntime(case: Case, tmp_path: Path) -> None:
    path = after_convolution(case.nodes, case.arrays, tmp_path, opset=case.opset)
    images = torch.randn(3, 1, *SIZE[1:], generator=torch.Generator().manual_seed(3))

    found, _, _ = loaded(path)
    with torch.no_grad():
        logits = found(images)

    wanted = run_by_onnxruntime(path, images)
    assert logits.shape == wanted.shape
    assert torch.allclose(logits, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "turned"), [*zip(LINEAR[:5], (1, 0, 0, 1, 0), strict=True)], ids=str
)
def test_matrices_with_inputs_as_rows_are_turned(
    case: Case, turned: int, tmp_path: Path
) -> None:
    path = after_convolution(case.nodes, case.arrays, tmp_path)

    module, architecture, _ = loaded(path)
    linear = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]

    assert architecture.transposed == (frozenset({"w"}) if turned else frozenset())
    assert len(linear) == (case.name not in ("gemm scaled", "gemm with one bias"))
    if "bias" in case.name and linear:
        assert linear[0].bias is not None


def test_every_operator_that_is_read_is_computed() -> None:
    assert set(READ) - set(COMPUTED) == set(LAYERS) - {"Linear"}
