from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rnp_cli.data.digest import digest_of_files
from rnp_cli.data.listing import list_images
from rnp_cli.errors import InputRefused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("10/a.png", "2/a.png", "2/b c.png", "2/back\\slash\nline\r.png"):
        path = tmp_path / "clean" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 9)
    return tmp_path / "clean"


def digest(folder: Path) -> str:
    return digest_of_files(folder, list_images(folder).paths)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_it_can_be_computed_with_what_everybody_has(folder: Path) -> None:
    line = "sha256sum */* | LC_ALL=C sort | sha256sum"

    told = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True)

    assert digest(folder) == told.stdout.split()[0]


def test_content_name_and_class_decide_and_the_place_does_not(folder: Path) -> None:
    before = digest(folder)
    found = [before]
    image = folder / "2" / "a.png"

    image.write_bytes(b"another")
    found.append(digest(folder))
    image.rename(folder / "2" / "d.png")
    found.append(digest(folder))
    (folder / "2" / "d.png").rename(folder / "10" / "d.png")
    found.append(digest(folder))

    assert len(set(found)) == len(found)
    moved = folder.rename(folder.with_name("moved"))
    assert digest(moved) == found[-1]


def test_a_file_that_is_gone_is_named(folder: Path) -> None:
    paths = list_images(folder).paths
    paths[1].unlink()

    with pytest.raises(InputRefused, match=r"b c\.png cannot be read: No such"):
        digest_of_files(folder, paths)
