"""Reads ONNX models: a checked graph, and weights that are used in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.onnx_constants import (
    HOLDERS,
    as_integers,
    as_scalar,
    collect_tensors,
)
from rnp_cli.checkpoints.onnx_nodes import (
    DOMAINS,
    check_names,
    check_operator,
    read_node,
)
from rnp_cli.checkpoints.onnx_operators import (
    MAX_IR,
    MAX_NODES,
    MAX_OPSET,
    MIN_IR,
    MIN_OPSET,
)
from rnp_cli.checkpoints.onnx_simplify import (
    needed_for,
    with_own_weights,
    without_aliases,
)
from rnp_cli.checkpoints.onnx_tensors import StoredTensor
from rnp_cli.checkpoints.onnx_values import graph_input, graph_output
from rnp_cli.checkpoints.onnx_wire import MODEL, filtered, parsed
from rnp_cli.checkpoints.records import Contents, Span, StorageRecord, TensorRecord
from rnp_cli.checkpoints.refusals import listed, malformed, over_limit, unsupported
from rnp_cli.checkpoints.source import Source
from rnp_cli.checkpoints.views import view_of
from rnp_cli.graph import OnnxGraph, OnnxNode

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


def warm_up() -> None:
    """Import everything that decoding takes; later no file can be opened."""
    parsed(b"")


def read_onnx(source: Source, limits: LoadLimits) -> Contents:
    """Turn an ONNX model into records and its graph; raises InputRefused."""
    model = parsed(filtered(source.data, MODEL, limits))
    opset = _opset(model)
    graph = model.graph
    tensors = collect_tensors(graph, source, limits)
    taken_in = graph_input(graph, tensors, limits)
    given_out = graph_output(graph, limits)
    nodes = _nodes(graph)
    check_names(nodes, [taken_in.name, *tensors], limits)
    if given_out.name not in {node.output for node in nodes}:
        raise malformed("Nothing in its graph makes its output.")
    nodes = without_aliases(nodes, tensors, given_out.name)
    nodes = needed_for(given_out.name, nodes)
    floats = {name for name, tensor in tensors.items() if tensor.is_float}
    taken = {taken_in.name, *tensors, *(node.output for node in nodes)}
    nodes, tensor_of, of_layers = with_own_weights(nodes, floats, taken)
    scalars = {
        name: tensor
        for name, tensor in tensor_of.items()
        if name not in of_layers and _is_scalar(tensors[tensor])
    }
    weights = {name: tensors[t] for name, t in tensor_of.items() if name not in scalars}
    if not weights:
        raise unsupported("It has no weights.")
    used = {name for node in nodes for name in node.inputs}
    checked = OnnxGraph(
        name=_name(graph.name, limits),
        opset=opset,
        ir_version=model.ir_version,
        input=taken_in,
        output=given_out,
        nodes=tuple(nodes),
        integers={
            name: as_integers(name, tensor)
            for name, tensor in tensors.items()
            if name in used and not tensor.is_float
        },
        scalars={name: as_scalar(name, tensors[t]) for name, t in scalars.items()},
    )
    unused = floats - set(tensor_of.values())
    root, spans = _records(weights, tensor_of, limits)
    return Contents(
        format="ONNX",
        root=root,
        storages=spans,
        findings=(f"not used: {listed(sorted(unused))}",) if unused else (),
        graph=checked,
    )


def _name(name: str, limits: LoadLimits) -> str:
    is_plain = 0 < len(name) <= limits.max_name_length and name.isprintable()
    return name if is_plain else "graph"


def _opset(model: ModelProto) -> int:
    if not MIN_IR <= model.ir_version <= MAX_IR:
        raise unsupported(f"It is of version {model.ir_version} of the format.")
    versions: list[int] = [o.version for o in model.opset_import if o.domain in DOMAINS]
    if len(versions) != 1:
        raise malformed("It does not say which version of ONNX's operators it uses.")
    if not MIN_OPSET <= versions[0] <= MAX_OPSET:
        raise unsupported(
            f"It uses operators of version {versions[0]} (opset); {MIN_OPSET} to "
            f"{MAX_OPSET} are supported.",
            "Export the network again with another opset_version.",
        )
    return versions[0]


def _nodes(graph: GraphProto) -> list[OnnxNode]:
    if len(graph.node) > MAX_NODES:
        raise over_limit(f"Its graph has {len(graph.node):,} nodes.")
    nodes = []
    for node in graph.node:
        if node.op_type in HOLDERS and node.domain in DOMAINS:
            continue
        check_operator(node)
        nodes.append(read_node(node))
    return nodes


def _is_scalar(tensor: StoredTensor) -> bool:
    return tensor.numel == 1 and tensor.dtype.name != "bfloat16"


def _records(
    weights: dict[str, StoredTensor], tensor_of: dict[str, str], limits: LoadLimits
) -> tuple[dict[str, TensorRecord], dict[str, Span]]:
    root: dict[str, TensorRecord] = {}
    spans: dict[str, Span] = {}
    for name, tensor in weights.items():
        key = tensor_of[name]
        storage = StorageRecord(key=key, dtype=tensor.dtype, numel=tensor.numel)
        root[name] = view_of(storage, 0, tensor.shape, None, limits)
        spans[key] = tensor.span
    return root, spans
