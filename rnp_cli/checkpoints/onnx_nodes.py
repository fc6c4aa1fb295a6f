"""Nodes of an ONNX file: known operators with plain attributes, in running order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.onnx_operators import OPERATORS
from rnp_cli.checkpoints.refusals import malformed, over_limit, quote, unsupported
from rnp_cli.checkpoints.tensor_names import check_name
from rnp_cli.graph import Attribute, OnnxNode

if TYPE_CHECKING:
    from onnx import AttributeProto, NodeProto

DOMAINS = ("", "ai.onnx")
MAX_INTEGERS = 64  # in one attribute
_MAX_WORD = 32
# ONNX's number of an attribute's type -> the field that holds it
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7


def check_operator(node: NodeProto) -> None:
    """Refuse an operator that nothing here computes."""
    if node.domain not in DOMAINS:
        raise unsupported(
            f"Its operator {quote(node.op_type)} is of the domain "
            f"{quote(node.domain)}, not of ONNX itself: what it does is code that "
            "the file does not hold.",
            _OTHER_FORMAT,
        )
    if node.op_type not in OPERATORS:
        raise unsupported(
            f"Its operator {quote(node.op_type)} is not one of those that "
            "convolutional classifiers are made of.",
            _OTHER_FORMAT,
        )


def read_node(node: NodeProto) -> OnnxNode:
    """Check a node against its operator; raises InputRefused."""
    operator = OPERATORS[node.op_type]
    outputs = [name for name in node.output if name]
    if node.op_type == "Dropout":
        del outputs[1:]  # which values were dropped: none
    if len(outputs) != 1 or node.output[0] != outputs[0]:
        raise unsupported(
            f"Its operator {quote(node.op_type)} has {len(outputs)} outputs; only "
            "one is supported.",
            "Export the network again in eval mode: model.eval().",
        )
    inputs = list(node.input)
    while inputs and not inputs[-1]:
        inputs.pop()
    least, most = operator.inputs
    if not least <= len(inputs) <= most or "" in inputs[:least]:
        raise malformed(
            f"Its operator {quote(node.op_type)} has {len(inputs):,} inputs."
        )
    attributes = {a.name: _attribute(node.op_type, a) for a in node.attribute}
    if len(attributes) != len(node.attribute):
        raise malformed(f"Its operator {quote(node.op_type)} has an attribute twice.")
    return OnnxNode(
        op=node.op_type, inputs=tuple(inputs), output=outputs[0], attributes=attributes
    )


def check_names(
    nodes: Iterable[OnnxNode], known: Iterable[str], limits: LoadLimits
) -> None:
    """Refuse names that are made twice, or used before anything makes them.

    A cycle cannot pass: some node in it would use what comes later.
    """
    made = set(known)
    for node in nodes:
        for name in node.inputs:
            if name and name not in made:
                raise malformed(
                    f"Its operator {node.op} uses {quote(name)}, which nothing makes "
                    "before it."
                )
        check_name(node.output, limits)
        if node.output in made:
            raise malformed(f"{quote(node.output)} is made twice.")
        made.add(node.output)


def _attribute(op: str, attribute: AttributeProto) -> Attribute:
    if attribute.name not in OPERATORS[op].attributes:
        raise unsupported(
            f"Its operator {op} has the unknown attribute {quote(attribute.name)}.",
            _OTHER_FORMAT,
        )
    value = plain_value(attribute)
    if not OPERATORS[op].attributes[attribute.name](value):
        raise malformed(f"The attribute {attribute.name} of its {op} is unsound.")
    return value


def plain_value(attribute: AttributeProto) -> Attribute:
    """Return a number, a word or a few integers; raises InputRefused."""
    kind, name = attribute.type, quote(attribute.name)
    if kind == _INT:
        return attribute.i
    if kind == _FLOAT and math.isfinite(attribute.f):
        return attribute.f
    if kind == _INTS:
        if len(attribute.ints) > MAX_INTEGERS:
            raise over_limit(f"The attribute {name} has too many numbers.")
        return tuple(attribute.ints)
    if kind == _STRING and len(attribute.s) <= _MAX_WORD:
        return attribute.s.decode("ascii", "replace")
    raise malformed(f"The attribute {name} is of a kind that does not fit.")


_OTHER_FORMAT = (
    "Give the PyTorch or safetensors file that it was exported from, with --arch "
    "where the weights do not tell the architecture."
)
