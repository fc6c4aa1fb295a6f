"""From a PyTorch checkpoint to the formats that hold a graph, on the example."""

from __future__ import annotations

import copy
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rnp_cli.checkpoints import (
    read_checkpoint,
    read_exported_metadata,
    read_onnx_metadata,
    read_safetensors_metadata,
)
from rnp_cli.cli.progress import WORDS
from rnp_cli.errors import RnpError, UsageError
from rnp_cli.events import Event, StageDone
from rnp_cli.export.compact import Compacted
from rnp_cli.export.safetensors import tensors_sha256
from rnp_cli.pipeline import SanitizeRequest, SanitizeResult, exporting, sanitize
from rnp_cli.verifying import verify

METADATA: dict[str, Callable[[Path], Mapping[str, str]]] = {
    ".safetensors": read_safetensors_metadata,
    ".onnx": read_onnx_metadata,
    ".pt2": read_exported_metadata,
}
FEW = {"method": "rnp", "when": "always", "device": "cpu", "seed": 3}


def run(digits: Any, *outputs: Path, **options: Any) -> SanitizeResult:
    return sanitize(
        SanitizeRequest(
            model=digits.model,
            clean_dir=digits.clean,
            outputs=outputs,
            **{**FEW, **options},
        )
    )


def answers(path: Path, images: Tensor) -> Tensor:
    """Run a written file as others would."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    with torch.no_grad():
        logits: Tensor = torch.export.load(path).module()(images)
    return logits


@pytest.fixture(scope="module")
def three(
    digits: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SanitizeResult, Path, list[Event]]:
    """The example in all formats."""
    folder = tmp_path_factory.mktemp("three")
    heard: list[Event] = []
    request = SanitizeRequest(
        model=digits.model,
        clean_dir=digits.clean,
        outputs=tuple(folder / f"d{suffix}" for suffix in METADATA),
        **FEW,
    )
    return sanitize(request, listen=heard.append), folder, heard


def test_all_are_written_with_one_report(
    three: tuple[SanitizeResult, Path, list[Event]],
) -> None:
    result, folder, heard = three

    beside, models = ["d.report.json", "d.intoto.json"], [f"d{s}" for s in METADATA]
    names = [*beside, *models]
    assert [path.name for path in result.written] == names
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    outputs = {output.file: output for output in result.report.outputs}
    assert list(outputs) == models
    weights = tensors_sha256(load_file(folder / "d.safetensors"))
    assert outputs["d.safetensors"].tensors_sha256 == weights
    assert outputs["d.pt2"].tensors_sha256 == weights
    proto = onnx.load(folder / "d.onnx")
    assert outputs["d.onnx"].opset == proto.opset_import[0].version
    stages = [event.stage for event in heard if isinstance(event, StageDone)]
    assert {"rehearse", "export", "write"} <= {*stages} <= WORDS.keys()


@pytest.mark.parametrize("suffix", METADATA)
def test_each_says_what_it_takes_and_which_report_is_its_own(
    three: tuple[SanitizeResult, Path, list[Event]], suffix: str
) -> None:
    result, folder, _ = three

    metadata = METADATA[suffix](folder / f"d{suffix}")

    said = {
        "rnp_report": "d.report.json",
        "rnp_report_sha256": result.report.digest(),
        "rnp_input_sha256": result.report.model.sha256,
        "rnp_image_channels": "1",
        "rnp_image_size": "8x8",
        "rnp_image_range": "0,1",
        "rnp_image_mean": "0",
        "rnp_image_std": "1",
        "rnp_output": "logits",
    }
    assert said.items() <= metadata.items()


@pytest.mark.parametrize("suffix", METADATA)
def test_each_is_verified_with_what_lies_beside_it(
    three: tuple[SanitizeResult, Path, list[Event]], suffix: str
) -> None:
    _, folder, _ = three

    found = verify(folder / f"d{suffix}")

    assert [link for link in found.links if link.state != "ok"] == []
    others = {f"d{other}" for other in METADATA if other != suffix}
    assert any(all(name in note for name in others) for note in found.not_checked)


@pytest.mark.parametrize("suffix", METADATA)
def test_a_model_that_was_renamed_is_verified_as_the_one_that_it_was(
    three: tuple[SanitizeResult, Path, list[Event]], suffix: str, tmp_path: Path
) -> None:
    _, folder, _ = three
    for file in folder.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / f"d{suffix}").rename(tmp_path / f"other{suffix}")

    assert verify(tmp_path / f"other{suffix}").agrees


def test_graphs_answer_as_the_weights_do(
    three: tuple[SanitizeResult, Path, list[Event]],
) -> None:
    _, folder, _ = three
    images = torch.rand(65, 1, 8, 8, generator=torch.Generator().manual_seed(1))

    by_onnx, by_torch = (answers(folder / name, images) for name in ("d.onnx", "d.pt2"))

    assert torch.allclose(by_onnx, by_torch, atol=1e-4)
    assert torch.equal(by_onnx.argmax(1), by_torch.argmax(1))
    exported = read_checkpoint(folder / "d.pt2").state_dict
    weights = load_file(folder / "d.safetensors")
    assert all(torch.equal(exported[name], t) for name, t in weights.items())


def test_compact_files_answer_the_same_and_hold_less(
    three: tuple[SanitizeResult, Path, list[Event]], digits: Any, tmp_path: Path
) -> None:
    whole, folder, _ = three
    images = torch.rand(65, 1, 8, 8, generator=torch.Generator().manual_seed(1))

    result = run(digits, tmp_path / "d.pt2", tmp_path / "d.onnx", compact=True)

    compaction = result.report.compaction
    assert compaction is not None
    assert compaction.pruned == len(result.report.pruned) >= compaction.removed > 0
    assert compaction.parameters_after < compaction.parameters_before
    assert compaction.flops_after < compaction.flops_before
    assert whole.report.compaction is None
    for name in ("d.pt2", "d.onnx"):
        given = answers(tmp_path / name, images)
        assert torch.allclose(given, answers(folder / name, images), atol=1e-4)
    small, large = (
        sum(tensor.numel() for tensor in read_checkpoint(file).state_dict.values())
        for file in (tmp_path / "d.pt2", folder / "d.pt2")
    )
    assert small < large


def test_a_compact_network_that_answers_otherwise_is_not_written(
    digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(network: nn.Module, *_: object) -> Compacted:
        other = copy.deepcopy(network)
        torch.nn.init.zeros_(other.get_parameter("linear.weight"))
        return Compacted(other, 1)

    monkeypatch.setattr(exporting, "compacted", careless)

    with pytest.raises(RnpError, match="does not answer as the sanitized model"):
        run(digits, tmp_path / "d.pt2", compact=True)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "output", "options"),
    [
        ("onnxruntime", "d.onnx", {}),
        ("onnxscript", "d.onnx", {}),
        ("torch_pruning", "d.pt2", {"compact": True}),
    ],
)
def test_what_is_not_installed_is_told_before_the_work(
    digits: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    output: str,
    options: dict[str, Any],
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    done: list[str] = []
    request = SanitizeRequest(
        model=digits.model,
        clean_dir=digits.clean,
        outputs=(tmp_path / output,),
        **{**FEW, **options},
    )

    with pytest.raises(UsageError, match=f"{missing} is not installed") as error:
        sanitize(
            request,
            listen=lambda event: (
                done.append(event.stage) if isinstance(event, StageDone) else None
            ),
        )

    assert "pip install" in error.value.hint
    assert done == ["read"]
    assert list(tmp_path.iterdir()) == []


BRANCHING = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, images):
        logits = self.linear(images.flatten(1))
        return logits if logits.sum() > 0 else logits + 0
"""


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_network_that_no_graph_holds_is_told_before_the_work(
    digits: Any, tmp_path: Path, suffix: str
) -> None:
    (tmp_path / "net.py").write_text(BRANCHING)
    weights = {"linear.weight": torch.randn(10, 64), "linear.bias": torch.zeros(10)}
    torch.save(weights, tmp_path / "model.pt")
    heard: list[Event] = []
    request = SanitizeRequest(
        model=tmp_path / "model.pt",
        clean_dir=digits.clean,
        arch=f"{tmp_path / 'net.py'}:Net",
        labels="from-model",
        outputs=(tmp_path / f"out{suffix}",),
        **FEW,
    )

    with pytest.raises(RnpError, match="could not be exported"):
        sanitize(request, listen=heard.append)

    done = [event.stage for event in heard if isinstance(event, StageDone)]
    assert done == ["read", "samples"]
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("outputs", "compact", "message"),
    [
        (["a.onnx", "a.onnx"], False, "Two outputs are one file"),
        (["a.safetensors"], True, r"a\.safetensors cannot be compact"),
        (["a.onnx", "b.safetensors"], True, r"b\.safetensors cannot be compact"),
        (["a.safetensors", "b.pt2"], True, r"a\.safetensors cannot be compact"),
        (["a.safetensors", "a.pt"], False, r"a\.pt does not end in"),
    ],
)
def test_outputs_that_make_no_sense_are_usage_errors(
    digits: Any, tmp_path: Path, outputs: list[str], compact: bool, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        run(digits, *(tmp_path / name for name in outputs), compact=compact)

    assert error.value.hint
    assert list(tmp_path.iterdir()) == []
