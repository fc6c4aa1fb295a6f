"""A small sound ONNX model, and ways to change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

OPSET = 17


def tensor(name: str, *shape: int, fill: float = 0.5) -> TensorProto:
    return numpy_helper.from_array(np.full(shape, fill, np.float32), name)


def integers(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def constant(output: str, value: TensorProto) -> NodeProto:
    return helper.make_node("Constant", [], [output], value=value)


def classifier() -> ModelProto:
    """Convolve, clip and classify images (batch, 1, 4, 4) into three classes."""
    nodes = [
        constant("low", numpy_helper.from_array(np.array(0, np.float32))),
        node("Conv", "x conv.weight conv.bias", "a", kernel_shape=[3, 3]),
        node("Clip", "a low high", "b"),
        node("Reshape", "b shape", "c"),
        node("Gemm", "c fc.weight fc.bias", "y", transB=1),
    ]
    weights = [
        tensor("conv.weight", 2, 1, 3, 3),
        tensor("conv.bias", 2),
        tensor("high", fill=6.0),
        integers("shape", -1, 8),
        tensor("fc.weight", 3, 8),
        tensor("fc.bias", 3),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        weights,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def changed(change: Callable[[ModelProto], object]) -> bytes:
    """The small model after a change, as a file."""
    model = classifier()
    change(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def weight(model: ModelProto, name: str) -> TensorProto:
    return next(t for t in model.graph.initializer if t.name == name)


def node_of(model: ModelProto, op: str) -> NodeProto:
    return next(n for n in model.graph.node if n.op_type == op)


def set_attribute(target: NodeProto, name: str, value: object) -> None:
    kept = [a for a in target.attribute if a.name != name]
    del target.attribute[:]
    kind = AttributeProto.INTS if isinstance(value, list) else None
    target.attribute.extend([*kept, helper.make_attribute(name, value, attr_type=kind)])
