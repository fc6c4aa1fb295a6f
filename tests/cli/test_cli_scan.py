from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rnp_cli.architectures import FAMILIES
from rnp_cli.architectures.family import Size
from rnp_cli.scanning import guess, second_opinion

Rnp = Callable[..., Any]

EVIL = b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00exittR."


@pytest.fixture
def downloads(digits: Any, tmp_path: Path) -> Path:
    """A folder with a model, one deeper down, and what is none."""
    folder = tmp_path / "downloads"
    (folder / "deeper").mkdir(parents=True)
    shutil.copy(digits.model, folder / "one.pt")
    shutil.copy(digits.model, folder / "deeper" / "two.pth")
    (folder / "notes.txt").write_text("nothing")
    return folder


def test_a_scan_says_what_a_file_holds(rnp: Rnp, digits: Any) -> None:
    run = rnp("scan", digits.model)

    assert run.code == 0
    for said in ("PyTorch zip", "ResNet-8", "layer1.0.conv1", "epoch", "57,991"):
        assert said in run.out
    assert "_rebuild_tensor_v2" in run.out
    assert run.err == ""


def test_json_is_whole_and_alone(rnp: Rnp, digits: Any) -> None:
    run = rnp("scan", digits.model, "--format", "json")

    (model,) = json.loads(run.out)["files"]
    assert sum(len(layer["tensors"]) for layer in model["layers"]) == 44
    assert sum(layer["parameters"] for layer in model["layers"]) == model["parameters"]
    assert model["architecture"]["num_classes"] == 10
    assert model["refusal"] is None


def test_folders_are_searched(rnp: Rnp, downloads: Path) -> None:
    run = rnp("scan", downloads, "--format", "json")

    report = json.loads(run.out)
    assert run.code == 0
    assert [Path(f["path"]).name for f in report["files"]] == ["one.pt", "two.pth"]
    assert report["other_files"] == 1
    assert all(file["architecture"]["names"] for file in report["files"])


def test_a_folder_without_a_model_beside_others_is_named(
    rnp: Rnp, downloads: Path
) -> None:
    empty = downloads.parent / "empty"
    empty.mkdir()

    run = rnp("scan", downloads, empty, "--format", "json")
    shown = rnp("scan", empty, downloads)

    assert (run.code, shown.code) == (0, 0)
    assert json.loads(run.out)["without_models"] == [str(empty)]
    assert "No model file in" in shown.out


def test_one_refused_file_decides_the_exit_code(rnp: Rnp, downloads: Path) -> None:
    (downloads / "evil.pkl").write_bytes(EVIL)

    run = rnp("scan", downloads)

    assert run.code == 3
    assert "os.system" in run.out
    assert "Treat the file as an attack" in run.out
    assert "3 scanned, 1 refused" in run.out


@pytest.mark.parametrize("leads_to", ["one.pt", "deeper"])
def test_a_link_is_not_followed_and_not_passed_over(
    leads_to: str, rnp: Rnp, downloads: Path
) -> None:
    name = "link.pt" if leads_to == "one.pt" else "link"
    (downloads / name).symlink_to(downloads / leads_to)

    run = rnp("scan", downloads)

    assert run.code == 3
    assert "symbolic link" in run.out


def test_a_hugging_face_folder_is_one_model(rnp: Rnp, tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torch import ones

    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "resnet"}')
    save_file({"fc.weight": ones(2, 2)}, folder / "model.safetensors")

    alone = rnp("scan", folder, "--format", "json")
    (folder / "pytorch_model.bin").write_bytes(EVIL)
    beside = rnp("scan", folder, "--format", "json")

    (model,) = json.loads(alone.out)["files"]
    assert alone.code == 0
    assert model["format"].startswith("Hugging Face folder")
    assert beside.code == 3  # what lies beside the model is not passed over
    assert len(json.loads(beside.out)["files"]) == 2


@pytest.mark.parametrize("arguments", [[], ["missing.pt"], ["empty"]])
def test_nothing_to_scan_is_a_usage_error(
    arguments: list[str], rnp: Rnp, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    assert rnp("scan", *arguments).code == 2


def test_what_pruning_left_is_folded_for_the_guess(rnp: Rnp, tmp_path: Path) -> None:
    weights = FAMILIES[0].member("resnet18-cifar", Size(width=8)).build().state_dict()  # type: ignore[union-attr]
    kernel = weights.pop("layer1.0.conv1.weight")
    weights["layer1.0.conv1.weight_orig"] = kernel
    weights["layer1.0.conv1.weight_mask"] = torch.ones_like(kernel)
    torch.save(weights, tmp_path / "model.pt")

    run = rnp("scan", tmp_path / "model.pt", "--format", "json")

    architecture = json.loads(run.out)["files"][0]["architecture"]
    assert architecture["names"] == ["ResNet-18 (CIFAR, width 8)"]


def test_an_unknown_network_says_what_is_near(rnp: Rnp, tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.ones(4, 3, 3, 3)}, tmp_path / "model.pt")

    run = rnp("scan", tmp_path / "model.pt")

    assert run.code == 0
    assert "The architecture was not recognized from 1 tensors." in run.out


def test_more_tensors_than_any_network_are_not_guessed(
    rnp: Rnp, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guess, "_MOST_TENSORS", 43)

    run = rnp("scan", digits.model, "--format", "json")

    assert json.loads(run.out)["files"][0]["architecture"] is None


@pytest.mark.filterwarnings("ignore")  # deprecations within the exporter
def test_an_onnx_model_needs_no_guess(rnp: Rnp, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3)).eval()
    torch.onnx.export(net, (torch.rand(1, 1, 4, 4),), path, dynamo=False)

    run = rnp("scan", path)

    assert run.code == 0
    assert "the file holds its graph" in run.out
    assert "not recognized" not in run.out


def test_names_made_to_waste_time_waste_little(rnp: Rnp, tmp_path: Path) -> None:
    one, kernel = torch.ones(1), torch.ones(1, 1, 1, 1)
    weights = {"bn1.weight": one, "conv1.weight": kernel, "fc.weight": torch.ones(1, 1)}
    for number in range(1200):
        weights[f"layer{number // 2 + 1}.{number % 2}.conv1.weight"] = kernel
        weights[f"layer{number // 2 + 1}.{number % 2}.conv2.weight"] = kernel
    torch.save({"a.b.c.d.e.f." + n: w for n, w in weights.items()}, tmp_path / "m.pt")
    started = time.monotonic()

    run = rnp("scan", tmp_path / "m.pt")

    assert "not recognized from 2403 tensors" in run.out
    assert time.monotonic() - started < 10  # under two, where nothing else runs


def test_absurd_shapes_are_no_network(rnp: Rnp, tmp_path: Path) -> None:
    path = tmp_path / "empty.safetensors"
    shape = [0, 1 << 62, 1 << 62]
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
    header = json.dumps({"w": entry, "v": {**entry, "shape": [0]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)

    run = rnp("scan", path)

    assert run.code in (0, 3)
    assert "Traceback" not in run.err


def test_a_scan_needs_no_torch(digits: Any, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.argv = ['rnp', *sys.argv[1:]]\n"
        "from rnp_cli.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, 'numpy' in sys.modules)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, "scan", str(digits.model)]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert ended.stdout.endswith("False False\n")
    assert "ResNet-8" in ended.stdout


def test_a_second_opinion_is_shown_and_decides_nothing(
    rnp: Rnp, digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    (tmp_path / "evil.pkl").write_bytes(EVIL)

    good = rnp("scan", digits.model, "--second-opinion")
    both = rnp("scan", tmp_path, "--second-opinion", "--format", "json")

    assert good.code == 0
    assert "picklescan: passed" in good.out
    files = {Path(f["path"]).name: f for f in json.loads(both.out)["files"]}
    said = files["evil.pkl"]["second_opinions"]
    assert {"tool": "picklescan", "verdict": "flagged"} in said
    assert both.code == 3


@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        ("exit 0", "passed"),
        ("exit 1", "flagged"),
        ("echo 'Traceback (most recent call last):'; exit 1", "error"),
        ("exit 77", "error"),
        ("kill -9 $$", "error"),
        ("echo 'Scanned files: 0'", "not read"),
        ("exec sleep 60", "timed out"),
    ],
)
def test_what_another_scanner_does_is_told_in_a_word(
    script: str,
    verdict: str,
    rnp: Rnp,
    digits: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = tmp_path / "picklescan"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(second_opinion, "_SECONDS", 1)

    run = rnp("scan", digits.model, "--second-opinion", "--format", "json")

    assert run.code == 0
    (model,) = json.loads(run.out)["files"]
    said = {other["tool"]: other["verdict"] for other in model["second_opinions"]}
    assert said["picklescan"] == verdict


def test_no_other_scanner_is_asked_unless_wanted(
    rnp: Rnp, digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    unasked = rnp("scan", digits.model)
    asked = rnp("scan", digits.model, "--second-opinion")

    assert unasked.code == 0
    assert "Second opinion" not in unasked.out
    assert asked.code == 2
    assert "pip install picklescan" in asked.err
