"""A torch network as an ONNX model, by torch's exporter, held against the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from rnp_cli.errors import RnpError
from rnp_cli.export.extras import imported
from rnp_cli.export.model import Prepared, SanitizedModel
from rnp_cli.export.quiet import quiet
from rnp_cli.export.torch_export import IMAGES, inputs, not_exported
from rnp_cli.export.trial import Trial

_MOST_BYTES = (1 << 31) - (1 << 20)  # of one file; a larger model needs several
_ERRORS_ONLY = 3


def require() -> None:
    """Raise UsageError where a library that this needs is not installed."""
    with quiet():
        for module in ("onnxruntime", "onnxscript"):
            imported(module, extra="onnx")


def prepare(model: SanitizedModel) -> Prepared:
    """Translate the network: any number of images in, a row of outputs for each.

    Raises RnpError where torch cannot translate it, and UsageError where what that
    needs is not installed.
    """
    require()
    size = sum(tensor.nbytes for tensor in model.network.state_dict().values())
    if size > _MOST_BYTES:
        raise RnpError(
            f"The model has {size:,} bytes, too many for one ONNX file.",
            hint="Write .safetensors or .pt2.",
        )
    proto = _translated(model)
    stored = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in proto.graph.initializer
    }
    # Integers and single numbers are of the graph; who reads the file finds weights.
    tensors = {n: t for n, t in stored.items() if t.is_floating_point() and t.ndim}
    opset = next(used.version for used in proto.opset_import if not used.domain)
    return Prepared("ONNX", tensors, partial(_content, proto, model.trial), opset)


def _translated(model: SanitizedModel) -> onnx.ModelProto:
    args, shapes = inputs(model.trial.example)
    try:
        with quiet():
            program: Any = torch.onnx.export(
                model.network,
                args,
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=[IMAGES],
                output_names=[model.output.replace("-", "_")],
                verbose=False,
            )
            proto: onnx.ModelProto = program.model_proto
            _strip(proto)
            onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # of torch, of the libraries it uses, of the user's code
        raise not_exported("ONNX", error) from error
    return proto


def _strip(proto: onnx.ModelProto) -> None:
    """Drop notes for debugging: they quote code, and the folders that it lies in."""
    graph = proto.graph
    nodes = [*graph.node, *(node for made in proto.functions for node in made.node)]
    values: Iterable[Any] = (*graph.input, *graph.output, *graph.value_info)
    for part in (proto, graph, *proto.functions, *nodes, *values, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _content(
    proto: onnx.ModelProto, trial: Trial, metadata: Mapping[str, str]
) -> bytes:
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    helper.set_model_props(model, dict(sorted(metadata.items())))
    blob: bytes = model.SerializeToString(deterministic=True)
    runtime = imported("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(
        blob, options, providers=["CPUExecutionProvider"]
    )

    def answer(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {IMAGES: images.numpy()})[0])

    trial.check(answer, "The ONNX model, run by onnxruntime,")
    return blob
