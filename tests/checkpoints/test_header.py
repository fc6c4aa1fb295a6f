from __future__ import annotations

from pathlib import Path

import pytest
import torch
from corpus import SAFETENSORS, Hostile
from safetensors.torch import save_file

from rnp_cli.checkpoints.header import read_safetensors_metadata
from rnp_cli.errors import InputRefused

UNSOUND = [
    case
    for case in SAFETENSORS
    if case.name not in ("ANSI escape", "log command", "path", "no tensors")
]


def test_metadata_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    metadata = {"report": '{"accuracy": 0.9}', "tool": "a test"}
    save_file({"w": torch.ones(2)}, path, metadata=metadata)

    assert read_safetensors_metadata(path) == metadata


def test_no_metadata_is_an_empty_table(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(2)}, path)

    assert read_safetensors_metadata(path) == {}


@pytest.mark.parametrize("case", UNSOUND, ids=lambda case: case.name)
def test_unsound_headers_are_refused(case: Hostile, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(case.build(tmp_path / "marker"))

    with pytest.raises(InputRefused):
        read_safetensors_metadata(path)
