"""ONNX bytes of a checked graph with new weights, and a few lines of metadata."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import torch
from onnx import AttributeProto, TensorProto, helper
from torch import Tensor

from rnp_cli.errors import InputRefused
from rnp_cli.graph import OnnxGraph, OnnxNode, OnnxValue

_MIN_IR = 4  # from here on, weights need not be inputs
_TYPES = {
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


def onnx_bytes(
    graph: OnnxGraph, state_dict: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> bytes:
    """Write a model anew, from what was checked; nothing of the old file is copied.

    state_dict: the graph's weights. Equal arguments give equal bytes. Raises
    InputRefused where the graph breaks a rule of ONNX that was not checked before, and
    RuntimeError when what was written does not read back bit-equal.
    """
    tensors = {**_constants(graph), **state_dict}
    proto = helper.make_graph(
        [_node(node) for node in graph.nodes],
        graph.name,
        [_value(graph.input)],
        [_value(graph.output)],
        [_tensor(name, tensor) for name, tensor in tensors.items()],
    )
    model = helper.make_model(
        proto,
        producer_name="rnp",
        ir_version=max(graph.ir_version, _MIN_IR),
        opset_imports=[helper.make_opsetid("", graph.opset)],
    )
    helper.set_model_props(model, dict(sorted(metadata.items())))
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = str(error).partition("\n")[0][:200]
        raise InputRefused(
            f"The model breaks a rule of ONNX: {reason!a}",
            hint="Export it again with a current exporter.",
        ) from error
    blob: bytes = model.SerializeToString(deterministic=True)
    _verify(blob, tensors)
    return blob


def _constants(graph: OnnxGraph) -> dict[str, Tensor]:
    integers = {
        name: torch.tensor(value.values, dtype=_dtype(value.dtype)).view(value.shape)
        for name, value in graph.integers.items()
    }
    scalars = {
        name: torch.full(value.shape, value.value, dtype=_dtype(value.dtype))
        for name, value in graph.scalars.items()
    }
    return {**integers, **scalars}


def _dtype(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _node(node: OnnxNode) -> onnx.NodeProto:
    proto = helper.make_node(node.op, node.inputs, [node.output])
    for name, value in node.attributes.items():
        kind = AttributeProto.INTS if isinstance(value, tuple) else None
        proto.attribute.append(helper.make_attribute(name, value, attr_type=kind))
    return proto


def _value(value: OnnxValue) -> onnx.ValueInfoProto:
    shape = value.shape or None
    return helper.make_tensor_value_info(value.name, _TYPES[value.dtype], shape)


def _tensor(name: str, tensor: Tensor) -> TensorProto:
    kind = _TYPES[str(tensor.dtype).removeprefix("torch.")]
    return helper.make_tensor(name, kind, tensor.shape, _content(tensor), raw=True)


def _content(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def _verify(blob: bytes, tensors: Mapping[str, Tensor]) -> None:
    back = onnx.ModelProto.FromString(blob).graph.initializer
    same = [tensor.name for tensor in back] == list(tensors) and all(
        tensor.raw_data == _content(tensors[tensor.name]) for tensor in back
    )
    if not same:
        raise RuntimeError("the written ONNX model differs from the one measured")
