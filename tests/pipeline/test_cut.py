from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from rnp_cli.architectures import identify, load
from rnp_cli.checkpoints import Checkpoint, read_checkpoint
from rnp_cli.defense.channels import Channel, find_channel_layers
from rnp_cli.defense.prune import prune
from rnp_cli.pipeline.cut import cut


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """Two linear layers: one keeps inputs as rows, the other outputs."""
    dice = np.random.default_rng(0)
    shapes = {"first": (16, 6), "bias": (6,), "last": (3, 6)}
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["rows"]),
            helper.make_node("MatMul", ["rows", "first"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["sum"]),
            helper.make_node("Relu", ["sum"], ["hidden"]),
            helper.make_node("Gemm", ["hidden", "last"], ["logits"], transB=1),
        ],
        "two layers",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(dice.normal(size=shape).astype(np.float32), name)
            for name, shape in shapes.items()
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    path = tmp_path / "model.onnx"
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path.write_bytes(model.SerializeToString())
    return read_checkpoint(path)


def test_a_matrix_with_inputs_as_rows_is_cut_along_columns(
    checkpoint: Checkpoint,
) -> None:
    architecture = identify(checkpoint.state_dict, graph=checkpoint.graph)
    module = load(architecture, checkpoint.state_dict)
    images = torch.rand(4, 1, 4, 4)
    layers = find_channel_layers(module, images)
    channels = [Channel(layers[0].name, i) for i in (1, 4)]

    sanitized = cut(checkpoint.state_dict, architecture, module, layers, channels)

    zero = (sanitized["first"] == 0).all(0)
    assert zero.tolist() == [False, True, False, False, True, False]
    assert sanitized["bias"][[1, 4]].tolist() == [0, 0]
    assert torch.equal(sanitized["last"], checkpoint.state_dict["last"])
    assert not (checkpoint.state_dict["first"] == 0).any()
    with torch.no_grad():
        pruned = prune(module, layers, channels)(images)
        assert torch.equal(load(architecture, sanitized)(images), pruned)
