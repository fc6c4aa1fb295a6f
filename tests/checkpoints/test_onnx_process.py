"""ONNX models are read in the reader's process too, and its graph is not trusted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx_crafting import changed, classifier, weight

from rnp_cli.checkpoints import LoadLimits, read_checkpoint, reader_process, scan_file
from rnp_cli.checkpoints.worker import Task
from rnp_cli.errors import InputRefused, RnpError

GOOD = classifier().SerializeToString(deterministic=True)
Graph = dict[str, Any]
Said = tuple[bytes, dict[str, Any]]
Change = Callable[[Graph], object]
Pretend = Callable[[str], None]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(GOOD)
    return path


def task(**changes: Any) -> Task:
    given = {"suffix": ".onnx", "wants_tensors": True, "is_onnx": True} | changes
    return Task(limits=LoadLimits(), **given)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What the reader says of the model: tensors, and answer."""
    path = tmp_path_factory.mktemp("sound") / "model.onnx"
    path.write_bytes(GOOD)
    with path.open("rb") as file:
        done = subprocess.run(
            reader_process.command(task()), stdin=file, capture_output=True, check=True
        )
    return done.stdout, json.loads(done.stderr)


@pytest.fixture
def pretend(
    sound: Said,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Pretend:
    """Let the reader answer with another graph."""
    tensors, answer = sound

    def replace(graph: str) -> None:
        text = json.dumps(answer | {"graph": graph}).encode()
        program = tmp_path / "pretended.py"
        program.write_text(
            f"import os; os.write(1, {tensors!r}); os.write(2, {text!r})"
        )
        command = [sys.executable, "-I", "-S", str(program)]
        monkeypatch.setattr(reader_process, "command", lambda task: command)

    return replace


def graph_after(change: Change, sound: Said) -> str:
    graph = json.loads(sound[1]["graph"])
    change(graph)
    return json.dumps(graph)


def test_this_process_imports_no_onnx_to_read_or_scan(model: Path) -> None:
    check = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rnp_cli.checkpoints import read_onnx_metadata, scan_file\n"
        f"path = Path({str(model)!r})\n"
        "read_onnx_metadata(path)\n"
        "assert scan_file(path).refusal is None\n"
        "assert 'torch' not in sys.modules\n"
        "from rnp_cli.checkpoints import read_checkpoint\n"
        "assert read_checkpoint(path).graph is not None\n"
        "sys.exit(any(n in sys.modules for n in ('onnx', 'google.protobuf')))\n"
    )

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_only_for_onnx_the_reader_sees_installed_packages() -> None:
    assert "-S" not in reader_process.command(task())
    assert "-S" in reader_process.command(task(is_onnx=False))
    assert all("-I" in reader_process.command(task(is_onnx=f)) for f in (True, False))


def test_libraries_are_there_before_the_rights_are_gone() -> None:
    """And start no thread: a process with threads cannot leave the network."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    check = (
        "import io, os, sys\n"
        "from rnp_cli.checkpoints import worker\n"
        "def confine(bounds):\n"
        "    found = open('/proc/self/status').read()\n"
        "    is_ready = 'onnx' in sys.modules and 'google.protobuf' in sys.modules\n"
        "    mapped = int(found.partition('VmSize:')[2].split()[0]) * 1024\n"
        "    is_small = mapped < 256 << 20 < bounds.memory - (700 << 20)\n"
        "    os._exit(not (is_ready and is_small and 'Threads:\\t1\\n' in found))\n"
        "worker.confine = confine\n"
        "worker.main()\n"
    )
    command = [sys.executable, "-I", "-c", check, task().to_json()]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)

    assert done.returncode == 0


def test_a_scan_lists_the_tensors(model: Path) -> None:
    scan = scan_file(model)

    assert (scan.format, scan.suffix_agrees, scan.refusal) == ("ONNX", True, None)
    assert [(t.name, t.shape) for t in scan.tensors] == [
        ("conv.weight", (2, 1, 3, 3)),
        ("conv.bias", (2,)),
        ("fc.weight", (3, 8)),
        ("fc.bias", (3,)),
    ]


def test_a_scan_counts_what_is_not_finite(model: Path) -> None:
    broken = changed(lambda m: setattr(weight(m, "fc.bias"), "raw_data", b"\xff" * 12))
    model.write_bytes(broken)

    scan = scan_file(model)

    assert scan.refusal is not None
    assert [tensor.nan for tensor in scan.tensors] == [0, 0, 0, 3]


def test_safetensors_that_begin_like_onnx_are_safetensors(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"w": entry}).encode().ljust(0x120908)
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))

    assert list(read_checkpoint(path).state_dict) == ["w"]


def test_a_missing_library_is_no_fault_of_the_file(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolated = reader_process.command(task())
    monkeypatch.setattr(
        reader_process, "command", lambda _: [isolated[0], "-S", *isolated[1:]]
    )

    with pytest.raises(RnpError, match="cannot import") as error:
        read_checkpoint(model)

    assert not isinstance(error.value, InputRefused)


def test_the_pretended_graph_is_sound(
    model: Path, pretend: Pretend, sound: Said
) -> None:
    pretend(graph_after(lambda graph: None, sound))

    assert read_checkpoint(model).graph is not None


def _node(**changes: object) -> Change:
    return lambda graph: graph["nodes"][0].update(changes)


def _attribute(name: str, value: object) -> Change:
    return lambda graph: graph["nodes"][0]["attributes"].update({name: value})


def _table(**changes: object) -> Change:
    return lambda graph: graph["integers"]["shape"].update(changes)


def _scalar(**changes: object) -> Change:
    return lambda graph: graph["scalars"]["high"].update(changes)


def _rename(graph: Graph) -> None:
    graph["nodes"][0]["output"] = graph["nodes"][1]["inputs"][0] = "\x1b[2Jred"


def _share(graph: Graph) -> None:
    graph["nodes"][3]["inputs"][2] = "conv.bias"


def _many(graph: Graph) -> None:
    relu = {"op": "Relu", "inputs": ["x"], "attributes": {}}
    graph["nodes"] += [relu | {"output": f"n{i}"} for i in range(10_001)]


UNSOUND: dict[str, Change] = {
    "empty": lambda graph: graph.clear(),
    "extra field": lambda graph: graph.update(surprise=1),
    "wrong type": lambda graph: graph.update(opset="17"),
    "old opset": lambda graph: graph.update(opset=1),
    "format": lambda graph: graph.update(ir_version=99),
    "name": lambda graph: graph.update(name="\x1b[2J"),
    "operator": _node(op="If"),
    "number of inputs": _node(inputs=["x"]),
    "inputs left out": _node(inputs=["x", "", "conv.bias"]),
    "unknown input": _node(inputs=["x", "nowhere", "conv.bias"]),
    "output": lambda graph: graph["output"].update(name="nowhere"),
    "no nodes": lambda graph: graph.update(nodes=[]),
    "many nodes": _many,
    "made twice": _node(output="conv.bias"),
    "unprintable": _rename,
    "shared weight": _share,
    "unknown attribute": _attribute("surprise", 1),
    "enormous attribute": _attribute("group", 1 << 64),
    "long attribute": _attribute("strides", [1] * 100),
    "attribute's kind": _attribute("group", "one"),
    "no images": lambda graph: graph["input"].update(shape=["n", 16]),
    "enormous images": lambda graph: graph["input"].update(shape=[1, 1, 1 << 40, 9]),
    "negative size": lambda graph: graph["input"].update(shape=[1, 1, -4, -4]),
    "input's name": lambda graph: graph["input"].update(name="conv.weight"),
    "element type": lambda graph: graph["output"].update(dtype="os.system"),
    "table's type": _table(dtype="float32"),
    "table's size": _table(shape=[3]),
    "table's values": _table(values=[1 << 70, 8]),
    "negative table": _table(shape=[-2, -1]),
    "scalar's type": _scalar(dtype="int64"),
    "scalar's shape": _scalar(shape=[1 << 40]),
    "not a number": _scalar(value="NaN"),
}


@pytest.mark.parametrize("change", UNSOUND.values(), ids=UNSOUND)
def test_an_unsound_graph_is_a_refusal(
    change: Change,
    model: Path,
    pretend: Pretend,
    sound: Said,
) -> None:
    pretend(graph_after(change, sound))

    with pytest.raises(InputRefused, match="no sound answer"):
        read_checkpoint(model)


@pytest.mark.parametrize("graph", ["", "x", "{", "[]", "null", "[" * 100_000])
def test_what_is_no_graph_is_a_refusal(
    graph: str, model: Path, pretend: Pretend
) -> None:
    pretend(graph)

    with pytest.raises(InputRefused, match="no sound answer"):
        read_checkpoint(model)


def test_a_graph_that_was_not_asked_for_is_a_refusal(
    pretend: Pretend, sound: Said, tmp_path: Path
) -> None:
    pretend(sound[1]["graph"])
    other = tmp_path / "model.pt"
    other.write_bytes(b"\x80\x02")

    with pytest.raises(InputRefused, match="no sound answer"):
        read_checkpoint(other)
