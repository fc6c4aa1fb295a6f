"""ONNX files for the tests: what torch exports, and graphs put together by hand."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from rnp_cli.architectures import Architecture, identify, load
from rnp_cli.checkpoints import Checkpoint, read_checkpoint

Arrays = dict[str, Any]
SIZE = (2, 6, 7)  # channels, height and width after the first convolution


def export(
    module: nn.Module, images: Tensor, path: Path, *, dynamo: bool, **how: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations within the exporters
        torch.onnx.export(
            module,
            (images,),
            str(path),
            dynamo=dynamo,
            input_names=["images"],
            external_data=False,
            verbose=False,
            **how,
        )


def dynamic_batch(*, dynamo: bool) -> dict[str, Any]:
    if dynamo:
        return {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    return {"dynamic_axes": {"images": {0: "batch"}}}


def after_convolution(
    nodes: Iterable[NodeProto], arrays: Arrays, folder: Path, *, opset: int = 20
) -> Path:
    """Write a graph that convolves, runs the nodes from "x" to "z", and flattens."""
    dice = np.random.default_rng(0)
    arrays = {"kernel": dice.normal(size=(2, 1, 1, 1)).astype(np.float32), **arrays}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "kernel"], ["x"]),
            *nodes,
            helper.make_node("Flatten", ["z"], ["y"]),
        ],
        "by hand",
        [_value("images", ["batch", 1, *SIZE[1:]])],
        [_value("y", ["batch", None])],
        [numpy_helper.from_array(np.array(a), name) for name, a in arrays.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def loaded(path: Path) -> tuple[nn.Module, Architecture, Checkpoint]:
    checkpoint = read_checkpoint(path)
    architecture = identify(checkpoint.state_dict, graph=checkpoint.graph)
    return load(architecture, checkpoint.state_dict), architecture, checkpoint


def run_by_onnxruntime(path: Path, images: Tensor, *, batch: int = 0) -> Tensor:
    """Logits by onnxruntime, in batches of a fixed size where one is given."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    parts: Sequence[Tensor] = images.split(batch or len(images))
    name = session.get_inputs()[0].name
    return torch.cat(
        [torch.from_numpy(session.run(None, {name: p.numpy()})[0]) for p in parts]
    )


def _value(name: str, shape: list[int | str | None]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
