"""Graphs of known operators that are no classifier, or are made to do harm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper
from onnx_building import SIZE, after_convolution, loaded

from rnp_cli.architectures import identify, load
from rnp_cli.checkpoints import read_checkpoint
from rnp_cli.errors import InputRefused, UsageError

Graph = tuple[Sequence[NodeProto], dict[str, Any]]


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def whole(*values: int) -> Any:
    return np.array(values, np.int64)


def doubling(first: str, last: str, times: int, axis: int) -> list[NodeProto]:
    names = [first, *(f"d{i}" for i in range(times - 1)), last]
    return [
        node("Concat", f"{a} {a}", b, axis=axis)
        for a, b in zip(names, names[1:], strict=False)
    ]


def outer_products() -> Graph:
    nodes = [node("Flatten", "x", "f0")]
    for i in range(4):
        nodes += [
            node("Unsqueeze", f"f{i} one", f"row{i}"),
            node("Unsqueeze", f"f{i} two", f"column{i}"),
            node("Mul", f"row{i} column{i}", f"square{i}"),
            node("Flatten", f"square{i}", f"f{i + 1}"),
        ]
    return [*nodes, node("Identity", "f4", "z")], {"one": whole(1), "two": whole(2)}


def integers_to_floats() -> Graph:
    """Sixteen bytes that would become a table of four billion numbers."""
    nodes = [
        node("Shape", "x", "s"),
        *doubling("s", "many", 14, axis=0),
        node("Cast", "many", "row", to=1),
        node("Unsqueeze", "row one", "column"),
        node("Mul", "row column", "z"),
    ]
    return nodes, {"one": whole(1)}


CONV = np.zeros((2, 2, 1, 1), np.float32)
WORKS: Graph = ([node("Relu", "x", "z")], {})
UNUSABLE: dict[str, tuple[Graph, str]] = {
    "outer products": (outer_products(), "too large"),
    "doubling": ((doubling("x", "z", 60, axis=1), {}), "too large"),
    "doubling a little": ((doubling("x", "z", 20, axis=1), {}), "too"),
    "doubling integers": (
        (
            [node("Shape", "x", "s"), *doubling("s", "t", 40, axis=0)]
            + [node("Reshape", "x t", "z")],
            {},
        ),
        "too large",
    ),
    "integers to floats": (integers_to_floats(), "too large"),
    "integers to floats alone": (
        (
            [node("Shape", "x", "s"), node("Sqrt", "s", "r"), node("Mul", "x r", "z")],
            {},
        ),
        "on their own",
    ),
    "huge pads": (
        ([node("Pad", "x pads", "z")], {"pads": whole(0, 0, 0, 0, 0, 0, 0, 1 << 40)}),
        "too large",
    ),
    "mixes the batch": (([node("Softmax", "x", "z", axis=0)], {}), "depends on"),
    "moves the batch": (([node("Transpose", "x", "z")], {}), "result of shape"),
    "forgets the batch": (
        ([node("Reshape", "x shape", "z")], {"shape": whole(1, -1)}),
        "result of shape",
    ),
    "has one class": (
        ([node("ReduceMean", "x axes", "z")], {"axes": whole(1, 2, 3)}),
        "two or more classes",
    ),
    "computes a weight": (
        (
            [node("Relu", "w", "v"), node("Conv", "x v", "z")],
            {"w": CONV},
        ),
        "computed, not stored",
    ),
    "a weight of other rank": (
        ([node("Conv", "x w", "z")], {"w": CONV[0]}),
        "not that of one over images",
    ),
    "a bias of other size": (
        ([node("Conv", "x w b", "z")], {"w": CONV, "b": CONV[0, :, 0, 0][:1]}),
        "do not fit",
    ),
    "uneven groups": (
        ([node("Conv", "x w", "z", group=3)], {"w": CONV}),
        "do not divide",
    ),
    "channels that do not fit": (
        ([node("Conv", "x w", "z")], {"w": CONV.repeat(2, 1)}),
        "cannot be used",
    ),
    "too large a kernel": (
        ([node("MaxPool", "x", "z", kernel_shape=[99, 99])], {}),
        "cannot be used",
    ),
    "one-dimensional window": (
        ([node("MaxPool", "x", "z", kernel_shape=[2])], {}),
        "not for height and width",
    ),
    "an axis that is not there": (([node("Softmax", "x", "z", axis=9)], {}), "9"),
    "a place that is not there": (
        ([node("Gather", "x i", "z", axis=1)], {"i": whole(2)}),
        "outside of 2",
    ),
    "impossible shape": (
        ([node("Reshape", "x shape", "z")], {"shape": whole(-1, 5)}),
        "cannot be used",
    ),
    "floats for a shape": (
        ([node("Reshape", "x shape", "z")], {"shape": np.ones(2, np.float32)}),
        "no integers",
    ),
    "floats to integers": (([node("Cast", "x", "z", to=7)], {}), "casts"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_graph_is_refused(name: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    (nodes, arrays), says = UNUSABLE[name]
    path = after_convolution(nodes, arrays, tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(InputRefused) as refusal:
        loaded(path)

    assert says in refusal.value.message
    assert refusal.value.hint
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 400
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 300_000  # kibibytes, here


def test_images_of_another_size_do_not_fit(tmp_path: Path) -> None:
    module, _, _ = loaded(after_convolution(*WORKS, tmp_path))

    with pytest.raises(RuntimeError, match="1 x 6 x 7"):
        module(torch.zeros(2, 1, 7, 7))


def test_an_architecture_has_no_say_beside_a_graph(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(after_convolution(*WORKS, tmp_path))

    with pytest.raises(UsageError, match="--arch"):
        identify(checkpoint.state_dict, name="resnet20", graph=checkpoint.graph)


def test_a_missing_weight_is_refused(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(after_convolution(*WORKS, tmp_path))
    architecture = identify(checkpoint.state_dict, graph=checkpoint.graph)

    with pytest.raises(InputRefused, match="missing"):
        load(architecture, {})


def test_size_of_images_is_the_files_own(tmp_path: Path) -> None:
    _, architecture, _ = loaded(after_convolution(*WORKS, tmp_path))

    assert architecture.image_size is None  # not square
    assert architecture.in_channels == 1
    assert architecture.num_classes == SIZE[0] * SIZE[1] * SIZE[2]
    assert architecture.matched_by == "graph"
