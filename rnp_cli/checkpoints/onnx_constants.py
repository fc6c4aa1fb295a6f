"""The tensors of an ONNX graph: initializers, and nodes that only hold a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.onnx_nodes import plain_value
from rnp_cli.checkpoints.onnx_tensors import StoredTensor, small_tensor, stored_tensor
from rnp_cli.checkpoints.refusals import malformed, over_limit, quote, unsupported
from rnp_cli.checkpoints.source import Source
from rnp_cli.checkpoints.tensor_names import check_name
from rnp_cli.graph import OnnxIntegers, OnnxScalar

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

HOLDERS = ("Constant", "ConstantOfShape")
MAX_INTEGERS = 4096  # in one tensor: shapes and positions are far smaller


def collect_tensors(
    graph: GraphProto, source: Source, limits: LoadLimits
) -> dict[str, StoredTensor]:
    """Return every tensor that is stored or spelled out, by name.

    Raises InputRefused.
    """
    if len(graph.initializer) > limits.max_tensors:
        raise over_limit(f"It has {len(graph.initializer):,} tensors.")
    tensors: dict[str, StoredTensor] = {}
    for proto in graph.initializer:
        if proto.name in tensors:
            raise malformed(f"It has two tensors of the name {quote(proto.name)}.")
        tensors[proto.name] = stored_tensor(proto, proto.name, source, limits)
    for node in graph.node:
        if node.op_type not in HOLDERS:
            continue
        name = node.output[0] if len(node.output) == 1 else ""
        check_name(name, limits)
        if name in tensors:
            raise malformed(f"{quote(name)} is made twice.")
        make = _constant if node.op_type == "Constant" else _filled
        tensors[name] = make(node, name, tensors, source, limits)
    return tensors


def as_integers(name: str, tensor: StoredTensor) -> OnnxIntegers:
    """Read integers or booleans; raises InputRefused where there are too many."""
    if tensor.numel > MAX_INTEGERS:
        raise over_limit(
            f"{quote(name)} has {tensor.numel:,} integers; weights are floating-point "
            "numbers, and shapes are small."
        )
    values = tuple(int(value) for value in tensor.values())
    return OnnxIntegers(dtype=tensor.dtype.name, shape=tensor.shape, values=values)


def as_scalar(name: str, tensor: StoredTensor) -> OnnxScalar:
    """Read a single number; raises InputRefused where it is none."""
    (value,) = tensor.values()
    if math.isnan(value):
        raise malformed(f"{quote(name)} is not a number (NaN).")
    return OnnxScalar(dtype=tensor.dtype.name, shape=tensor.shape, value=float(value))


def _constant(
    node: NodeProto,
    name: str,
    tensors: Mapping[str, StoredTensor],
    source: Source,
    limits: LoadLimits,
) -> StoredTensor:
    if node.input or len(node.attribute) != 1:
        raise malformed(f"The constant {quote(name)} is malformed.")
    attribute = node.attribute[0]
    if attribute.name == "value":
        return stored_tensor(attribute.t, name, source, limits)
    value = plain_value(attribute)
    if attribute.name == "value_int" and isinstance(value, int):
        return small_tensor("int64", (), (value,))
    if attribute.name == "value_ints" and isinstance(value, tuple):
        return small_tensor("int64", (len(value),), value)
    if attribute.name == "value_float" and isinstance(value, float):
        return small_tensor("float32", (), (value,))
    raise unsupported(f"The constant {quote(name)} is of a kind that is not supported.")


def _filled(
    node: NodeProto,
    name: str,
    tensors: Mapping[str, StoredTensor],
    source: Source,
    limits: LoadLimits,
) -> StoredTensor:
    """Evaluate ConstantOfShape, which exporters use for small tables of zeros.

    A few bytes can ask it for any amount of memory, so its size is checked first.
    """
    if len(node.input) != 1 or node.input[0] not in tensors:
        raise over_limit(
            f"{quote(name)} is filled by ConstantOfShape to a shape that is computed: "
            "it may ask for any amount of memory."
        )
    shape = as_integers(name, tensors[node.input[0]]).values
    if any(size < 0 for size in shape) or len(shape) > limits.max_rank:
        raise malformed(f"{quote(name)} has a negative dimension, or too many.")
    numel = math.prod(shape)
    if numel > MAX_INTEGERS:
        raise over_limit(
            f"{quote(name)} is filled by ConstantOfShape to {numel:,} elements, out of "
            "a few bytes in the file."
        )
    value, dtype = 0.0, "float32"
    if node.attribute:
        fill = stored_tensor(node.attribute[0].t, name, source, limits)
        if node.attribute[0].name != "value" or fill.numel != 1:
            raise malformed(f"The fill value of {quote(name)} is not one number.")
        value, dtype = fill.values()[0], fill.dtype.name
    return small_tensor(dtype, shape, (value,) * numel)
