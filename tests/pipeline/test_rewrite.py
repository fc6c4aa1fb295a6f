from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from rnp_cli.architectures import identify, load
from rnp_cli.checkpoints import Checkpoint, read_checkpoint
from rnp_cli.defense.channels import Channel, find_channel_layers
from rnp_cli.defense.prune import prune
from rnp_cli.pipeline.rewrite import rewrite


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

    pruned = prune(module, layers, channels)
    sanitized = rewrite(checkpoint.state_dict, architecture, module, pruned)

    zero = (sanitized["first"] == 0).all(0)
    assert zero.tolist() == [False, True, False, False, True, False]
    assert sanitized["bias"][[1, 4]].tolist() == [0, 0]
    assert torch.equal(sanitized["last"], checkpoint.state_dict["last"])
    assert not (checkpoint.state_dict["first"] == 0).any()
    with torch.no_grad():
        assert torch.equal(load(architecture, sanitized)(images), pruned(images))


def test_what_is_equal_keeps_its_own_bits(checkpoint: Checkpoint) -> None:
    """A type that the network does not compute in loses nothing that stays."""
    fine = {
        name: tensor.double() + 1e-12 for name, tensor in checkpoint.state_dict.items()
    }
    architecture = identify(checkpoint.state_dict, graph=checkpoint.graph)
    before = load(architecture, checkpoint.state_dict)
    after = copy.deepcopy(before)
    with torch.no_grad():
        next(after.parameters())[2, 3] += 1

    rewritten = rewrite(fine, architecture, before, after)

    changed = {name for name in fine if not torch.equal(rewritten[name], fine[name])}
    assert changed == {"first"}
    assert (rewritten["first"] != fine["first"]).nonzero().tolist() == [[3, 2]]
    assert rewritten["first"].dtype == torch.float64
