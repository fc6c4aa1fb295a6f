from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx_crafting import (
    changed,
    classifier,
    constant,
    integers,
    node,
    node_of,
    tensor,
    weight,
)

from rnp_cli.checkpoints import Checkpoint, read_checkpoint, read_onnx_metadata
from rnp_cli.checkpoints.examine import examine
from rnp_cli.checkpoints.limits import DEFAULT_LIMITS
from rnp_cli.checkpoints.onnx_answer import check_graph
from rnp_cli.checkpoints.source import open_regular
from rnp_cli.errors import InputRefused
from rnp_cli.graph import OnnxGraph

GOOD = classifier().SerializeToString(deterministic=True)
WEIGHTS = ["conv.weight", "conv.bias", "fc.weight", "fc.bias"]


def read(content: bytes, folder: Path) -> Checkpoint:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return read_checkpoint(path)


def is_refused(content: bytes, folder: Path) -> bool:
    """Read in this process: what is asserted is that nothing else is ever raised.

    And that a graph that the reader lets pass is sound to whoever takes it.
    """
    path = folder / "model.onnx"
    path.write_bytes(content)
    try:
        with (
            open_regular(path, DEFAULT_LIMITS) as file,
            (folder / "tensors").open("wb", buffering=0) as output,
        ):
            looked = examine(file, path.suffix, DEFAULT_LIMITS)
            answer = examine(file, path.suffix, DEFAULT_LIMITS, output)
    except InputRefused:
        return True
    if answer.scan.refusal is None and answer.scan.format == "ONNX":
        graph = OnnxGraph.model_validate_json(answer.graph)
        check_graph(graph, [t.name for t in answer.scan.tensors], DEFAULT_LIMITS)
    return looked.scan.refusal is not None


def graph_of(checkpoint: Checkpoint) -> OnnxGraph:
    assert checkpoint.graph is not None
    return checkpoint.graph


def test_weights_and_graph_come_back(tmp_path: Path) -> None:
    checkpoint = read(GOOD, tmp_path)
    graph = graph_of(checkpoint)

    assert list(checkpoint.state_dict) == WEIGHTS
    for stored in classifier().graph.initializer:
        if stored.name in WEIGHTS:
            wanted = torch.from_numpy(numpy_helper.to_array(stored).copy())
            assert torch.equal(checkpoint.state_dict[stored.name], wanted)
    assert (checkpoint.format, checkpoint.findings) == ("ONNX", ())
    assert [n.op for n in graph.nodes] == ["Conv", "Clip", "Reshape", "Gemm"]
    assert graph.nodes[0].attributes == {"kernel_shape": (3, 3)}
    assert graph.input.shape == ("batch", 1, 4, 4)
    assert graph.integers["shape"].values == (-1, 8)
    assert (graph.scalars["low"].value, graph.scalars["high"].value) == (0.0, 6.0)


def test_the_graph_goes_through_json(tmp_path: Path) -> None:
    infinite = tensor("high", fill=float("inf"))
    content = changed(lambda m: weight(m, "high").CopyFrom(infinite))
    graph = graph_of(read(content, tmp_path))

    assert graph.scalars["high"].value == float("inf")
    assert OnnxGraph.model_validate_json(graph.model_dump_json()) == graph


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "bfloat16"], ids=str
)
def test_values_that_are_not_raw_bytes_come_back(dtype: str, tmp_path: Path) -> None:
    kind = {
        "float16": TensorProto.FLOAT16,
        "float32": TensorProto.FLOAT,
        "float64": TensorProto.DOUBLE,
        "bfloat16": TensorProto.BFLOAT16,
    }[dtype]
    spelled = helper.make_tensor("conv.bias", kind, [2], [1.5, -2.0])

    found = read(
        changed(lambda m: weight(m, "conv.bias").CopyFrom(spelled)), tmp_path
    ).state_dict["conv.bias"]

    assert found.dtype == getattr(torch, dtype)
    assert found.tolist() == [1.5, -2.0]


def test_layers_that_share_a_weight_get_their_own(tmp_path: Path) -> None:
    def share(model: ModelProto) -> None:
        model.graph.node.insert(2, node("Identity", "conv.bias", "again"))
        model.graph.node.insert(
            3, node("BatchNormalization", "a again again conv.bias ones", "bn")
        )
        model.graph.initializer.append(tensor("ones", 2, fill=1.0))
        node_of(model, "Clip").input[0] = "bn"

    checkpoint = read(changed(share), tmp_path)
    names = [graph_of(checkpoint).nodes[i].inputs for i in (0, 1)]

    assert names[0][2] == "conv.bias"
    assert len({*names[1][1:], "conv.bias"}) == 5
    for name in names[1][1:4]:
        assert torch.equal(
            checkpoint.state_dict[name], checkpoint.state_dict["conv.bias"]
        )
    assert "Identity" not in [n.op for n in graph_of(checkpoint).nodes]


def test_what_is_not_used_is_left_out_and_said(tmp_path: Path) -> None:
    def add(model: ModelProto) -> None:
        model.graph.initializer.append(tensor("spare", 7))
        model.graph.initializer.append(integers("num_batches_tracked", 3))
        model.graph.node.append(node("Relu", "y", "nowhere"))

    checkpoint = read(changed(add), tmp_path)

    assert list(checkpoint.state_dict) == WEIGHTS
    assert checkpoint.findings == ("not used: spare",)
    assert len(graph_of(checkpoint).nodes) == 4


def test_weights_among_the_inputs_are_weights(tmp_path: Path) -> None:
    def list_weights(model: ModelProto) -> None:
        model.graph.input.extend(
            helper.make_tensor_value_info(t.name, t.data_type, t.dims)
            for t in model.graph.initializer
        )

    assert graph_of(read(changed(list_weights), tmp_path)).input.name == "x"


def test_small_tables_of_one_value_are_filled(tmp_path: Path) -> None:
    def fill(model: ModelProto) -> None:
        zero = numpy_helper.from_array(np.array([8], np.int64))
        model.graph.node.insert(0, constant("one", integers("", 1)))
        model.graph.node.insert(
            1, helper.make_node("ConstantOfShape", ["one"], ["eight"], value=zero)
        )
        model.graph.node.insert(2, node("Concat", "minus eight", "target", axis=0))
        model.graph.initializer.append(integers("minus", -1))
        node_of(model, "Reshape").input[1] = "target"

    graph = graph_of(read(changed(fill), tmp_path))

    assert graph.integers["eight"].values == (8,)


def test_names_stay_as_they_are_in_the_graph(tmp_path: Path) -> None:
    def rename(model: ModelProto) -> None:
        for stored in model.graph.initializer:
            stored.name = f"module.{stored.name}"
        for user in model.graph.node:
            for i, name in enumerate(user.input):
                if name not in ("x", "a", "b", "c", "low"):
                    user.input[i] = f"module.{name}"

    checkpoint = read(changed(rename), tmp_path)

    assert list(checkpoint.state_dict) == [f"module.{name}" for name in WEIGHTS]


def test_metadata_is_read_without_the_graph(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(changed(lambda m: helper.set_model_props(m, {"rnp_report": "r"})))

    assert read_onnx_metadata(path) == {"rnp_report": "r"}


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(GOOD)
    check = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rnp_cli.checkpoints import onnx, onnx_metadata, source\n"
        "from rnp_cli.checkpoints.limits import DEFAULT_LIMITS as limits\n"
        f"path = Path({str(path)!r})\n"
        "with source.open_regular(path, limits) as file:\n"
        "    assert onnx.read_onnx(file.load(), limits).graph\n"
        "onnx_metadata.read_onnx_metadata(path)\n"
        "sys.exit('torch' in sys.modules)\n"
    )

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_every_truncated_model_is_refused(tmp_path: Path) -> None:
    for length in range(len(GOOD)):
        assert is_refused(GOOD[:length], tmp_path)


def test_mutated_models_are_read_or_refused(tmp_path: Path) -> None:
    dice = random.Random(7)
    refused = 0
    for _ in range(1000):
        content = bytearray(GOOD)
        for _ in range(dice.randint(1, 4)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        refused += is_refused(bytes(content), tmp_path)

    assert refused > 300


def test_a_suffix_that_hides_an_onnx_model_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(GOOD)

    assert "onnx" in read_checkpoint(path).findings[0]


def test_an_onnx_model_named_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(GOOD)

    with pytest.raises(InputRefused, match="holds an ONNX model"):
        read_checkpoint(path)


def test_a_pickle_named_onnx_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    torch.save({"weight": torch.ones(2)}, path)

    findings = read_checkpoint(path).findings
    assert findings == ("the suffix .onnx hides zip archive",)
