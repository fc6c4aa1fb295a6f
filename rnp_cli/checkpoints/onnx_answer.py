"""Checks a graph from the reader's process as if an attacker had written it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.onnx_constants import MAX_INTEGERS as MAX_IN_TENSOR
from rnp_cli.checkpoints.onnx_nodes import MAX_INTEGERS as MAX_IN_ATTRIBUTE
from rnp_cli.checkpoints.onnx_nodes import check_names
from rnp_cli.checkpoints.onnx_operators import (
    MAX_IR,
    MAX_NODES,
    MAX_OPSET,
    MIN_IR,
    MIN_OPSET,
    OPERATORS,
)
from rnp_cli.checkpoints.onnx_tensors import FLOATS
from rnp_cli.checkpoints.onnx_values import check_images
from rnp_cli.checkpoints.refusals import malformed
from rnp_cli.checkpoints.tensor_names import check_name
from rnp_cli.graph import Attribute, OnnxGraph, OnnxNode, OnnxValue

_BOUND = 1 << 63  # of whole numbers, either way
_INTEGERS = ("int32", "int64", "bool")


def check_graph(graph: OnnxGraph, weights: Sequence[str], limits: LoadLimits) -> None:
    """Check that the graph keeps to what the reader lets pass; raises InputRefused.

    weights: names of the tensors that came with it.
    """
    check_images(graph.input)
    if not all(_properties(graph, limits)):
        raise malformed("Its graph is unsound.")
    known = [graph.input.name, *weights, *graph.integers, *graph.scalars]
    if len(set(known)) != len(known):
        raise malformed("Its graph gives two things the same name.")
    for name in known:
        check_name(name, limits)
    check_names(graph.nodes, known, limits)
    _check_owners(graph, weights)


def _properties(graph: OnnxGraph, limits: LoadLimits) -> Iterator[bool]:
    yield 0 < len(graph.name) <= limits.max_name_length and graph.name.isprintable()
    yield MIN_OPSET <= graph.opset <= MAX_OPSET
    yield MIN_IR <= graph.ir_version <= MAX_IR
    yield len(graph.nodes) <= MAX_NODES
    yield graph.output.name in {node.output for node in graph.nodes}
    yield _is_value(graph.input, limits)
    yield _is_value(graph.output, limits)
    yield from map(_is_node, graph.nodes)
    for table in graph.integers.values():
        yield table.dtype in _INTEGERS
        yield len(table.shape) <= limits.max_rank and min(table.shape, default=0) >= 0
        yield len(table.values) == math.prod(table.shape) <= MAX_IN_TENSOR
        yield all(-_BOUND <= value < _BOUND for value in table.values)
    for scalar in graph.scalars.values():
        yield scalar.dtype in FLOATS and not math.isnan(scalar.value)
        yield len(scalar.shape) <= limits.max_rank and set(scalar.shape) <= {1}


def _is_value(value: OnnxValue, limits: LoadLimits) -> bool:
    return (
        value.dtype in (*FLOATS, *_INTEGERS)
        and len(value.shape) <= limits.max_rank
        and all(_is_dimension(size, limits) for size in value.shape)
    )


def _is_dimension(size: int | str | None, limits: LoadLimits) -> bool:
    if isinstance(size, str):
        check_name(size, limits)
    return not isinstance(size, int) or 0 < size < _BOUND


def _is_node(node: OnnxNode) -> bool:
    operator = OPERATORS.get(node.op)
    if operator is None:
        return False
    least, most = operator.inputs
    return (
        least <= len(node.inputs) <= most
        and "" not in node.inputs[:least]
        and all(
            name in operator.attributes
            and operator.attributes[name](value)
            and _is_bounded(value)
            for name, value in node.attributes.items()
        )
    )


def _is_bounded(value: Attribute) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, tuple):
        return len(value) <= MAX_IN_ATTRIBUTE and all(map(_is_bounded, value))
    return isinstance(value, str) or -_BOUND <= value < _BOUND


def _check_owners(graph: OnnxGraph, weights: Sequence[str]) -> None:
    """Refuse a layer's weight that something else uses: pruning would reach it too."""
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    stored = set(weights)
    for node in graph.nodes:
        for place in OPERATORS[node.op].parameters:
            name = node.inputs[place] if place < len(node.inputs) else ""
            if name in stored and uses[name] > 1:
                raise malformed("Its graph shares a weight between layers.")
