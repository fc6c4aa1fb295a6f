"""From an ONNX file to an ONNX file, on the example that ships."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from rnp_cli import SanitizeRequest, identify, read_checkpoint, sanitize
from rnp_cli.architectures import load
from rnp_cli.checkpoints import read_onnx_metadata
from rnp_cli.cli.app import app
from rnp_cli.errors import UsageError

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def module_of(path: Path) -> nn.Module:
    read = read_checkpoint(path)
    return load(identify(read.state_dict, graph=read.graph), read.state_dict)


def exported(folder: Path, training: torch.onnx.TrainingMode) -> Path:
    path = folder / "digits.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations within the exporter
        torch.onnx.export(
            module_of(DIGITS / "model.pt"),
            (torch.rand(2, 1, 8, 8),),
            path,
            dynamo=False,
            training=training,
            input_names=["images"],
            dynamic_axes={"images": {0: "batch"}},
        )
    return path


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """The example's network as ONNX, its BatchNorm layers kept as they are."""
    return exported(tmp_path, torch.onnx.TrainingMode.PRESERVE)


def test_an_onnx_model_is_sanitized_to_an_onnx_model(
    digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(digits.parent)
    clean = str(DIGITS / "clean")
    runner = CliRunner()

    run = runner.invoke(
        app, ["sanitize", str(digits), "--clean-dir", clean, "--method", "rnp"]
    )
    assert run.exit_code == 0, run.output
    written = digits.with_name("digits.sanitized.onnx")
    shown = runner.invoke(app, ["inspect", str(written), "--format", "json"])
    report = json.loads(shown.stdout)

    assert report["model"]["matched_by"] == "graph"
    assert report["pruning"]["pruned"]
    assert not any("BatchNorm" in note for note in report["not_checked"])
    (output,) = report["outputs"]
    assert (output["file"], output["format"]) == (written.name, "ONNX")
    assert output["opset"] == onnx.load(written).opset_import[0].version
    metadata = read_onnx_metadata(written)
    assert metadata["rnp_input_sha256"] == report["model"]["sha256"]
    assert metadata["rnp_report"] == "digits.report.json"
    assert metadata["rnp_image_size"] == "8x8"
    verified = runner.invoke(app, ["verify", str(written)])
    assert (verified.exit_code, "The files agree" in verified.stdout) == (0, True)
    before = read_checkpoint(digits).state_dict
    after = read_checkpoint(written).state_dict
    assert list(after) == list(before)
    for cut in report["pruning"]["pruned"]:
        assert after[f"{cut['layer']}.weight"][cut["channel"]] == 0
    images = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    by_runtime = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    with torch.no_grad():
        by_torch = module_of(written)(images)
    assert torch.allclose(by_torch, by_runtime, atol=1e-5)
    assert torch.equal(by_torch.argmax(1), by_runtime.argmax(1))


@pytest.mark.parametrize(
    ("outputs", "compact", "message"),
    [
        (["out.safetensors"], False, "is ONNX, which is sanitized to .onnx"),
        (["out.onnx", "out.pt2"], False, "is ONNX, which is sanitized to .onnx"),
        (["out.onnx"], True, "--compact is for networks of torch"),
    ],
)
def test_the_graph_of_an_onnx_model_stays_what_it_is(
    outputs: list[str], compact: bool, message: str, digits: Path
) -> None:
    request = SanitizeRequest(
        model=digits,
        clean_dir=DIGITS / "clean",
        outputs=tuple(map(digits.with_name, outputs)),
        compact=compact,
    )

    with pytest.raises(UsageError, match=message) as error:
        sanitize(request)

    assert error.value.hint
    assert list(digits.parent.iterdir()) == [digits]


def test_inspecting_an_onnx_model_that_rnp_did_not_write(digits: Path) -> None:
    run = CliRunner().invoke(app, ["inspect", str(digits)])

    assert run.exit_code == 3
    assert "Traceback" not in run.output


def test_a_graph_whose_batch_norms_were_folded_is_called_one(tmp_path: Path) -> None:
    model = exported(tmp_path, torch.onnx.TrainingMode.EVAL)
    request = SanitizeRequest(model=model, clean_dir=DIGITS / "clean")

    result = sanitize(request)

    assert any("BatchNorm" in note for note in result.report.not_checked)
    assert list(tmp_path.iterdir()) == [model]
