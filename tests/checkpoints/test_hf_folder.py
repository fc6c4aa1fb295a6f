from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from benign import bare
from crafting import beside_weights, touch
from safetensors.torch import save_file
from test_read import assert_same

from rnp_cli.checkpoints import LoadLimits, read_checkpoint, scan_file
from rnp_cli.errors import InputRefused

INDEX = "model.safetensors.index.json"
FIRST, SECOND = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards and an index, as ``save_pretrained`` lays them out."""
    path = tmp_path / "model"
    path.mkdir()
    weights, places = bare(), {}
    halves = (list(weights)[:4], list(weights)[4:])
    for name, part in zip((FIRST, SECOND), halves, strict=True):
        save_file({key: weights[key] for key in part}, path / name, {"format": "pt"})
        places |= dict.fromkeys(part, name)
    config = {"architectures": ["Net"], "model_type": "resnet", "num_labels": 3}
    (path / "config.json").write_text(json.dumps(config))
    write_index(path, places)
    return path


def write_index(folder: Path, places: object) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index))


def places(folder: Path) -> dict[str, str]:
    table: dict[str, str] = json.loads((folder / INDEX).read_text())["weight_map"]
    return table


def sorted_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(sorted(weights.items()))


def test_shards_are_put_together(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    scan = scan_file(folder)

    assert_same(sorted_weights(checkpoint.state_dict), sorted_weights(bare()))
    assert checkpoint.format == scan.format == "Hugging Face folder of safetensors"
    assert "config.json says: model_type resnet" in checkpoint.findings
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in (FIRST, SECOND)
    ]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert checkpoint.sha256 == scan.sha256 == digest
    assert checkpoint.size == sum((folder / n).stat().st_size for n in (FIRST, SECOND))
    assert scan.parameters == sum(tensor.numel() for tensor in bare().values())
    assert scan.refusal is None


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_one_file_is_enough(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".bin":
        torch.save(bare(), path)
    else:
        save_file(bare(), path)

    checkpoint = read_checkpoint(tmp_path)

    assert_same(sorted_weights(checkpoint.state_dict), sorted_weights(bare()))
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_remote_code_is_a_finding(folder: Path) -> None:
    config = {"auto_map": {"AutoModel": "code.py--Net"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit")

    assert any("never run" in finding for finding in read_checkpoint(folder).findings)


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/model.safetensors",
        "a/model.safetensors",
        "a\\model.safetensors",
        "C:model.safetensors",
        ".safetensors",
        "..safetensors",
        "model.pt",
        "\x1b[2J.safetensors",
        "m" * 300 + ".safetensors",
        "",
        7,
    ],
)
def test_names_of_shards_are_plain(name: object, folder: Path) -> None:
    save_file(bare(), folder.parent / "model.safetensors")
    write_index(folder, places(folder) | {"0.weight": name})

    with pytest.raises(InputRefused, match="names the file") as refusal:
        read_checkpoint(folder)

    assert refusal.value.message.isprintable()


@pytest.mark.parametrize("name", [FIRST, INDEX, "config.json"])
def test_links_are_not_followed(name: str, folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)

    with pytest.raises(InputRefused, match="symbolic link"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"0.weight": SECOND}, "disagree about: 0.weight"),
        ({"new.weight": FIRST}, "disagree about: new.weight"),
        ({"0.weight": "model-3.safetensors"}, "is missing"),
    ],
)
def test_index_and_shards_must_agree(
    change: dict[str, str], says: str, folder: Path
) -> None:
    write_index(folder, places(folder) | change)

    with pytest.raises(InputRefused, match=says):
        read_checkpoint(folder)
    refusal = scan_file(folder).refusal
    assert refusal is not None
    assert refusal.hint


def test_a_tensor_that_the_index_leaves_out_is_refused(folder: Path) -> None:
    left = places(folder)
    del left["0.bias"]
    write_index(folder, left)

    with pytest.raises(InputRefused, match=r"disagree about: 0\.bias"):
        read_checkpoint(folder)


def test_two_shards_with_one_tensor_are_refused(folder: Path) -> None:
    save_file(bare(), folder / SECOND)

    with pytest.raises(InputRefused, match="same name"):
        read_checkpoint(folder)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, '{"weight_map": 3}'])
def test_a_malformed_index_is_refused(content: str, folder: Path) -> None:
    (folder / INDEX).write_text(content)

    with pytest.raises(InputRefused, match="JSON object|no table|empty"):
        read_checkpoint(folder)


def test_a_hostile_shard_is_reported(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (folder / INDEX).unlink()
    (folder / "pytorch_model.bin").write_bytes(beside_weights(touch(marker)))

    refusal = scan_file(folder).refusal

    assert refusal is not None
    assert "system" in refusal.message
    assert not marker.exists()


def test_the_number_of_files_is_limited(folder: Path) -> None:
    with pytest.raises(InputRefused, match="2 files"):
        read_checkpoint(folder, LoadLimits(max_shards=1))
