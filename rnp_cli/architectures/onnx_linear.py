"""Finds the linear layers of an ONNX graph, in the ways that exporters write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rnp_cli.architectures.shapes import Shape
from rnp_cli.graph import Attribute, OnnxGraph, OnnxNode

LINEAR = "Linear"  # images, weight and perhaps bias; transB: rows are outputs
_ONE = 1.0


def with_linear_layers(
    graph: OnnxGraph, shapes: Mapping[str, Shape]
) -> tuple[OnnxNode, ...]:
    """Return the nodes, with one Linear for each linear layer.

    A Gemm is one, and so is a MatMul by a matrix of the checkpoint, together with the
    transposition before it and the bias that is added after it, if nothing else uses
    them. What is too unusual stays as it is.
    """
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    uses[graph.output.name] += 1
    made_by = {node.output: node for node in graph.nodes}
    nodes: dict[str, OnnxNode] = {}  # by output, in running order
    for node in graph.nodes:
        linear = None
        if node.op == "Gemm":
            linear = _from_gemm(node, shapes)
        elif node.op == "MatMul":
            linear = _from_matmul(node, made_by, uses, shapes)
        elif node.op == "Add":
            linear = _with_bias(node, nodes, uses, shapes)
        if linear is not None:
            for name in set(node.inputs) - set(linear.inputs):
                nodes.pop(name, None)  # it is part of the layer now
        nodes[node.output] = linear or node
    return tuple(nodes.values())


def _from_gemm(node: OnnxNode, shapes: Mapping[str, Shape]) -> OnnxNode | None:
    rows_are_outputs = node.attributes.get("transB", 0)
    weight = shapes.get(node.inputs[1], ())
    is_plain = (
        len(weight) == 2
        and not node.attributes.get("transA", 0)
        and node.attributes.get("alpha", _ONE) == _ONE
        and node.attributes.get("beta", _ONE) == _ONE
    )
    if not is_plain:
        return None
    bias = [shapes.get(name, ()) for name in node.inputs[2:]]
    if bias not in ([], [(weight[0 if rows_are_outputs else 1],)]):
        return None
    return _linear(node.inputs, node.output, rows_are_outputs=bool(rows_are_outputs))


def _from_matmul(
    node: OnnxNode,
    made_by: Mapping[str, OnnxNode],
    uses: Mapping[str, int],
    shapes: Mapping[str, Shape],
) -> OnnxNode | None:
    images, weight = node.inputs
    turned = made_by.get(weight)
    if turned is not None and turned.op == "Transpose" and uses[weight] == 1:
        is_swap = turned.attributes.get("perm", (1, 0)) == (1, 0)
        stored = turned.inputs[0]
        if is_swap and uses[stored] == 1 and len(shapes.get(stored, ())) == 2:
            return _linear((images, stored), node.output, rows_are_outputs=True)
    if len(shapes.get(weight, ())) == 2:
        return _linear((images, weight), node.output, rows_are_outputs=False)
    return None


def _with_bias(
    node: OnnxNode,
    nodes: Mapping[str, OnnxNode],
    uses: Mapping[str, int],
    shapes: Mapping[str, Shape],
) -> OnnxNode | None:
    for product, bias in (node.inputs, node.inputs[::-1]):
        linear = nodes.get(product)
        if linear is None or linear.op != LINEAR or len(linear.inputs) != 2:
            continue
        rows_are_outputs = bool(linear.attributes["transB"])
        outputs = shapes[linear.inputs[1]][0 if rows_are_outputs else 1]
        if uses[product] == uses[bias] == 1 and shapes.get(bias) == (outputs,):
            return _linear(
                (*linear.inputs, bias), node.output, rows_are_outputs=rows_are_outputs
            )
    return None


def _linear(
    inputs: tuple[str, ...], output: str, *, rows_are_outputs: bool
) -> OnnxNode:
    attributes: dict[str, Attribute] = {"transB": int(rows_are_outputs)}
    return OnnxNode(op=LINEAR, inputs=inputs, output=output, attributes=attributes)
