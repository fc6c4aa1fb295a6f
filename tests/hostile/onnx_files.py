"""Hostile ONNX models, sound but for the one thing that each is about."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper

SECRET = bytes(16)


def model(
    weight: onnx.TensorProto,
    *more: onnx.NodeProto,
    opset: int = 17,
    domain: str = "",
) -> bytes:
    """A classifier of one matrix product, with ``more`` nodes before it."""
    shape = ["batch", 2]
    product = helper.make_node("MatMul", ["images", "weight"], ["scores"])
    graph = helper.make_graph(
        [*more, product],
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
        [weight],
    )
    opsets = [helper.make_opsetid("", opset)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    made = helper.make_model(graph, ir_version=8, opset_imports=opsets)
    content: bytes = made.SerializeToString()
    return content


def good_weight() -> onnx.TensorProto:
    return helper.make_tensor("weight", TensorProto.FLOAT, [2, 2], [1, 0, 0, 1])


def external(location: str, length: int = 16) -> onnx.TensorProto:
    weight = onnx.TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[2, 2])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", 0), ("length", length)):
        weight.external_data.add(key=key, value=str(value))
    return weight


def with_file(link: Callable[[Path, Path], None] | None) -> Callable[[Path], Path]:
    """External data outside of the model's folder, reached by ``..`` or by a link."""

    def make(folder: Path) -> Path:
        secret, inner = folder / "secret.bin", folder / "inner"
        secret.write_bytes(SECRET)
        inner.mkdir()
        location = "../secret.bin"
        if link is not None:
            location = "weights.bin"
            link(secret, inner / location)
        path = inner / "model.onnx"
        path.write_bytes(model(external(location)))
        return path

    return make


def symlink(secret: Path, place: Path) -> None:
    place.symlink_to(secret)


def hardlink(secret: Path, place: Path) -> None:
    os.link(secret, place)


def bomb() -> bytes:
    """A few bytes that a runtime turns into a gibibyte when it folds constants."""
    size = helper.make_tensor("value", TensorProto.INT64, [1], [1 << 28])
    nodes = (
        helper.make_node("Constant", [], ["size"], value=size),
        helper.make_node("ConstantOfShape", ["size"], ["vast"]),
    )
    return model(good_weight(), *nodes)


def custom_domain() -> bytes:
    node = helper.make_node("Run", ["images"], ["ran"], domain="com.example")
    return model(good_weight(), node, domain="com.example")


def negative_dims() -> bytes:
    weight = good_weight()
    weight.dims[0] = -2
    return model(weight)
