from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from rnp_cli.checkpoints import read_exported_metadata
from rnp_cli.errors import InputRefused


def archive(folder: Path, **extra: str) -> Path:
    """A torch.export archive with extra files, their names without the ending."""
    program = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    path = folder / "model.pt2"
    files = {f"{name}.json": text for name, text in extra.items()}
    torch.export.save(program, path, extra_files=files)
    return path


def test_metadata_comes_back(tmp_path: Path) -> None:
    path = archive(tmp_path, rnp='{"a": "1", "b": "ä"}', other="[]")

    assert read_exported_metadata(path) == {"a": "1", "b": "ä"}


def test_an_archive_that_rnp_did_not_write_has_none(tmp_path: Path) -> None:
    assert read_exported_metadata(archive(tmp_path, other="{}")) == {}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '"a"', '{"a": 1}', '{"a": {}}', "null", "[" * 100_000, "\x00"],
    ids=lambda text: text[:8],
)
def test_unsound_metadata_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputRefused, match="metadata"):
        read_exported_metadata(archive(tmp_path, rnp=text))


def test_metadata_without_end_is_refused(tmp_path: Path) -> None:
    bomb = zipfile.ZipFile(tmp_path / "model.pt2", "w", zipfile.ZIP_DEFLATED)
    with bomb:
        bomb.writestr("model/archive_format", "pt2")
        bomb.writestr("model/extra/rnp.json", b" " * (1 << 29))

    with pytest.raises(InputRefused):
        read_exported_metadata(tmp_path / "model.pt2")


def test_another_archive_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "model.pt2")
    with pytest.raises(InputRefused, match=r"torch\.export"):
        read_exported_metadata(tmp_path / "model.pt2")

    (tmp_path / "model.pt2").write_bytes(b"{}")
    with pytest.raises(InputRefused):
        read_exported_metadata(tmp_path / "model.pt2")
