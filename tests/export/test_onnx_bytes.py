from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from rnp_cli.checkpoints import read_checkpoint, read_onnx_metadata
from rnp_cli.errors import InputRefused
from rnp_cli.export.onnx import onnx_bytes
from rnp_cli.graph import OnnxGraph, OnnxNode, OnnxScalar


class Net(nn.Module):
    """Needs integers (a reshape), numbers (a clip) and attributes of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.linear = nn.Linear(64, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = nn.functional.relu6(self.conv(images))
        x = nn.functional.leaky_relu(x, 0.2)
        logits: Tensor = self.linear(x.view(x.size(0), -1))
        return logits


@pytest.fixture
def model(tmp_path: Path) -> tuple[OnnxGraph, dict[str, Tensor]]:
    torch.manual_seed(0)
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations within the exporter
        torch.onnx.export(Net(), (torch.rand(2, 1, 4, 4),), path, dynamo=False)
    checkpoint = read_checkpoint(path)
    assert checkpoint.graph is not None
    return checkpoint.graph, checkpoint.state_dict


def test_what_is_written_reads_back_the_same(
    model: tuple[OnnxGraph, dict[str, Tensor]], tmp_path: Path
) -> None:
    graph, state_dict = model
    path = tmp_path / "again.onnx"

    path.write_bytes(onnx_bytes(graph, state_dict, {"key": "a value"}))
    again = read_checkpoint(path)

    assert again.graph == graph
    assert list(again.state_dict) == list(state_dict)
    assert all(torch.equal(again.state_dict[n], t) for n, t in state_dict.items())
    assert read_onnx_metadata(path) == {"key": "a value"}


def test_equal_models_give_equal_bytes(
    model: tuple[OnnxGraph, dict[str, Tensor]],
) -> None:
    first = onnx_bytes(*model, {"a": "1", "b": "2"})

    assert onnx_bytes(*model, {"b": "2", "a": "1"}) == first


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_keep_their_own_type(
    dtype: torch.dtype, model: tuple[OnnxGraph, dict[str, Tensor]], tmp_path: Path
) -> None:
    graph, state_dict = model
    halves = {name: tensor.to(dtype) for name, tensor in state_dict.items()}
    path = tmp_path / "halves.onnx"

    path.write_bytes(onnx_bytes(graph, halves, {}))

    for name, tensor in read_checkpoint(path).state_dict.items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, halves[name])


def test_infinite_bounds_and_empty_attributes_are_written(
    model: tuple[OnnxGraph, dict[str, Tensor]],
) -> None:
    graph, state_dict = model
    name = next(iter(graph.scalars))
    bound = OnnxScalar(dtype="float32", shape=(), value=float("inf"))
    changed = graph.model_copy(update={"scalars": {**graph.scalars, name: bound}})

    written = onnx.ModelProto.FromString(onnx_bytes(changed, state_dict, {}))
    stored = next(t for t in written.graph.initializer if t.name == name)

    assert onnx.numpy_helper.to_array(stored) == float("inf")


def test_what_breaks_the_rules_of_onnx_is_refused(
    model: tuple[OnnxGraph, dict[str, Tensor]],
) -> None:
    graph, state_dict = model
    old = OnnxNode(op="HardSwish", inputs=(graph.nodes[-1].output,), output="late")
    broken = graph.model_copy(update={"nodes": (*graph.nodes, old), "opset": 13})

    with pytest.raises(InputRefused, match="rule of ONNX"):
        onnx_bytes(broken, state_dict, {})
