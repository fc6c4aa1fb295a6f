from __future__ import annotations

import os
from pathlib import Path

import pytest

from rnp_cli.checkpoints import read_checkpoint, read_safetensors_metadata
from rnp_cli.errors import InputRefused

READERS = [read_checkpoint, read_safetensors_metadata]


@pytest.fixture(params=["empty", "directory", "fifo", "device", "loop"])
def no_model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    if request.param == "empty":
        path.touch()
    elif request.param == "directory":
        path.mkdir()
    elif request.param == "fifo":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no named pipes here")
        os.mkfifo(path)
    elif request.param == "device":
        if not Path("/dev/zero").exists():
            pytest.skip("no devices here")
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path)
    return path


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_regular_file_is_refused_at_once(
    read: object, no_model: Path
) -> None:
    assert callable(read)
    with pytest.raises(InputRefused) as refusal:
        read(no_model)

    assert refusal.value.hint


def test_a_sparse_giant_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(1 << 40)

    with pytest.raises(InputRefused, match="limit"):
        read_checkpoint(path)
