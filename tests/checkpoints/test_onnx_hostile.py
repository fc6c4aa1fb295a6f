"""ONNX files that must be refused: each is the small model with one change."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from onnx import ModelProto, TensorProto, helper
from onnx_crafting import (
    changed,
    classifier,
    constant,
    integers,
    node,
    node_of,
    set_attribute,
    tensor,
    weight,
)

from rnp_cli.checkpoints import read_checkpoint, read_onnx_metadata
from rnp_cli.errors import InputRefused

Change = Callable[[ModelProto], object]


@dataclass(frozen=True)
class Bad:
    """A hostile file, and a phrase that its refusal must have."""

    name: str
    content: Callable[[], bytes]
    says: str


def _bad(name: str, change: Change, says: str) -> Bad:
    return Bad(name, lambda: changed(change), says)


def _external(location: str, length: int | None = None) -> Change:
    def change(model: ModelProto) -> None:
        outside = weight(model, "fc.weight")
        outside.ClearField("raw_data")
        outside.data_location = TensorProto.EXTERNAL
        outside.external_data.add(key="location", value=location)
        if length is not None:
            outside.external_data.add(key="length", value=str(length))

    return change


def _external_constant(model: ModelProto) -> None:
    outside = TensorProto(data_type=TensorProto.FLOAT, dims=[1])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.insert(0, constant("outside", outside))


def _both(model: ModelProto) -> None:
    """Data in the file, and a path as well."""
    weight(model, "fc.weight").external_data.add(key="location", value="x.bin")


def _fill(*shape: int) -> Change:
    def change(model: ModelProto) -> None:
        model.graph.node.insert(0, constant("size", integers("", *shape)))
        model.graph.node.insert(1, node("ConstantOfShape", "size", "bomb"))
        node_of(model, "Clip").input[2] = "bomb"

    return change


def _fill_computed(model: ModelProto) -> None:
    model.graph.node.insert(0, node("Shape", "x", "size"))
    model.graph.node.insert(1, node("ConstantOfShape", "size", "bomb"))


def _subgraph(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("Loop", ["x"], ["z"], body=inner))


def _function(model: ModelProto) -> None:
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "f", [], [], [], opsets))


def _training(model: ModelProto) -> None:
    model.training_info.add()


def _sparse(model: ModelProto) -> None:
    model.graph.sparse_initializer.add()


def _domain(model: ModelProto) -> None:
    node_of(model, "Clip").domain = "com.example.ops"


def _opset(version: int) -> Change:
    def change(model: ModelProto) -> None:
        model.opset_import[0].version = version

    return change


def _dims(*shape: int) -> Change:
    def change(model: ModelProto) -> None:
        weight(model, "fc.weight").dims[:] = shape

    return change


def _input(*shape: int | str | None) -> Change:
    def change(model: ModelProto) -> None:
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        model.graph.input[0].CopyFrom(value)

    return change


def _raw(nbytes: int) -> Change:
    return lambda m: setattr(weight(m, "fc.bias"), "raw_data", bytes(nbytes))


def _renamed(name: str) -> Change:
    def change(model: ModelProto) -> None:
        weight(model, "fc.bias").name = name
        node_of(model, "Gemm").input[2] = name

    return change


def _second_output(model: ModelProto) -> None:
    model.graph.output.add().CopyFrom(model.graph.output[0])


def _cycle(model: ModelProto) -> None:
    node_of(model, "Clip").input[0] = "c"


def _twice(model: ModelProto) -> None:
    model.graph.node.append(node("Relu", "a", "b"))


def _over_a_weight(model: ModelProto) -> None:
    model.graph.node.insert(1, node("Relu", "x", "conv.bias"))


def _same_tensor_twice(model: ModelProto) -> None:
    model.graph.initializer.append(tensor("fc.bias", 3))


def _same_attribute_twice(model: ModelProto) -> None:
    conv = node_of(model, "Conv")
    conv.attribute.append(helper.make_attribute("kernel_shape", [3, 3]))


def _conv(name: str, value: object) -> Change:
    return lambda m: set_attribute(node_of(m, "Conv"), name, value)


def _many_nodes(model: ModelProto) -> None:
    model.graph.node.extend(node("Relu", "y", f"n{i}") for i in range(10_001))


def _many_integers(model: ModelProto) -> None:
    weight(model, "shape").CopyFrom(integers("shape", *range(5000)))


def _training_norm(model: ModelProto) -> None:
    norm = node("BatchNormalization", "a s s s s", "n", training_mode=1)
    model.graph.node.insert(2, norm)
    model.graph.initializer.append(tensor("s", 2))


def _shared_bomb(model: ModelProto) -> None:
    """One tensor of four megabytes, as the weight of a thousand layers."""
    model.graph.initializer.append(tensor("big", 1024, 1024))
    last = "y"
    for i in range(1000):
        model.graph.node.append(node("Gemm", f"{last} big", f"z{i}"))
        last = f"z{i}"
    model.graph.output[0].name = last


def _fields() -> bytes:
    """Two million empty nodes."""
    empty = b"\x0a\x00" * 2_000_000
    return b"\x08\x09\x12\x00\x3a" + _varint(len(empty)) + empty


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _long_graph() -> bytes:
    return b"\x08\x09\x12\x00\x3a" + _varint((1 << 63) + 5) + b"\x0a\x00"


GOOD = classifier().SerializeToString()
EXTERNAL = "external data"
BAD = (
    _bad("external ..", _external("../../etc/passwd"), EXTERNAL),
    _bad("external absolute", _external("/etc/passwd"), EXTERNAL),
    _bad("external sibling", _external("weights.bin"), EXTERNAL),
    _bad("external 2**50", _external("weights.bin", 1 << 50), EXTERNAL),
    _bad("external constant", _external_constant, EXTERNAL),
    _bad("external and raw", _both, EXTERNAL),
    _bad("ConstantOfShape bomb", _fill(1 << 14, 1 << 14), "ConstantOfShape"),
    _bad("ConstantOfShape overflow", _fill(1 << 62, 1 << 62), "ConstantOfShape"),
    _bad("ConstantOfShape negative", _fill(-1, -1), "negative"),
    _bad("ConstantOfShape computed", _fill_computed, "ConstantOfShape"),
    _bad("subgraph", _subgraph, "inside its nodes"),
    _bad("function", _function, "functions of its own"),
    _bad("training program", _training, "training"),
    _bad("sparse tensors", _sparse, "sparse"),
    _bad("custom domain", _domain, "com.example.ops"),
    _bad("unknown op", lambda m: m.graph.node.append(node("If", "x", "z")), "If"),
    _bad("opset 9999", _opset(9999), "9999"),
    _bad("opset 1", _opset(1), "version 1 "),
    _bad("no opset", lambda m: m.ClearField("opset_import"), "version"),
    _bad("ir 99", lambda m: setattr(m, "ir_version", 30), "version 30"),
    _bad("negative dims", _dims(-3, 8), "negative"),
    _bad("enormous dims", _dims(1 << 40, 1 << 40), "absurd"),
    _bad("many dims", _dims(*[1] * 1000), "1,000 dimensions"),
    _bad("larger dims", _dims(3, 9), "asks for 108 bytes"),
    _bad("short data", _raw(8), "has 8"),
    _bad("long data", _raw(800), "has 800"),
    _bad("negative input", _input(1, 1, -4, 4), "below one"),
    _bad("enormous input", _input(1, 1, 1 << 20, 1 << 20), "too large"),
    _bad("open size", _input("n", 1, "height", 4), "left open"),
    _bad("no size", _input(None, None, None, None), "left open"),
    _bad("flat input", _input("n", 16), "n x 16"),
    _bad("channels last", _input("n", 4, 4, 3), "4 channels"),
    _bad("two outputs", _second_output, "2 outputs"),
    _bad("no graph", lambda m: m.ClearField("graph"), "0 inputs"),
    _bad("no weights", lambda m: m.graph.ClearField("initializer"), "nothing makes"),
    _bad("cycle", _cycle, "nothing makes"),
    _bad("made twice", _twice, "b is made twice"),
    _bad("over a weight", _over_a_weight, "conv.bias is made twice"),
    _bad("tensor twice", _same_tensor_twice, "two tensors"),
    _bad("attribute twice", _same_attribute_twice, "attribute twice"),
    _bad("unknown attribute", _conv("surprise", 1), "surprise"),
    _bad("zero stride", _conv("strides", [0, 1]), "strides"),
    _bad("negative pads", _conv("pads", [-1, 0, 0, 0]), "pads"),
    _bad("zero groups", _conv("group", 0), "group"),
    _bad("wrong kind", _conv("group", 1.5), "group"),
    _bad("many numbers", _conv("strides", [1] * 100), "too many numbers"),
    _bad("many nodes", _many_nodes, "nodes"),
    _bad("many integers", _many_integers, "5,000 integers"),
    _bad("training mode", _training_norm, "training_mode"),
    _bad("shared bomb", _shared_bomb, "far more bytes"),
    _bad("escapes", _renamed("\x1b[2Jred"), "x1b"),
    _bad("log command", _renamed("::error::x"), "::error"),
    _bad("path", _renamed("../../x"), "path"),
    _bad("long name", _renamed("n" * 9999), "characters"),
    _bad(
        "NaN", lambda m: setattr(weight(m, "fc.bias"), "raw_data", b"\xff" * 12), "NaN"
    ),
    Bad("truncated", lambda: GOOD[:-30], "ends early"),
    Bad("wrong magic", lambda: b"\x00" + GOOD[1:], "no model file"),
    Bad("a million fields", _fields, "fields"),
    Bad("endless graph", _long_graph, "ends early"),
)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_hostile_model_is_refused(case: Bad, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "model.onnx"
    path.write_bytes(case.content())
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(InputRefused) as refusal:
        read_checkpoint(path)

    assert case.says in refusal.value.message
    assert refusal.value.hint
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 500
    assert list(tmp_path.iterdir()) == [path]
    assert time.monotonic() - started < 20
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 300_000  # kibibytes, here


def test_a_link_to_external_data_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(struct.pack("<24f", *range(24)))
    (tmp_path / "weights.bin").symlink_to(secret)
    path = tmp_path / "model.onnx"
    path.write_bytes(changed(_external("weights.bin", 96)))

    with pytest.raises(InputRefused, match=r"external data.* never followed"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        changed(lambda m: helper.set_model_props(m, {"k": "v" * (17 << 20)})),
        changed(lambda m: [m.metadata_props.add(key="k", value=v) for v in "ab"]),
        b"not a model",
    ],
    ids=["too long", "same key twice", "no model"],
)
def test_unsound_metadata_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(InputRefused):
        read_onnx_metadata(path)
