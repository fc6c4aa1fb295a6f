from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_nets import write_flat

from rnp_cli.data.walk import Found, PassedOver, walk_images
from rnp_cli.errors import InputRefused, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "suspects"
    for name in ("b.png", "a.PNG", "deep/er/c.jpg", "deep/d.png"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def names(folder: Path, kind: type[Found] | type[PassedOver] = Found) -> list[str]:
    return [
        file.path.relative_to(folder).as_posix()
        for file in walk_images(folder)
        if isinstance(file, kind)
    ]


def test_images_come_by_name_those_of_a_folder_before_those_below(folder: Path) -> None:
    (folder / "notes.txt").touch()

    assert names(folder) == ["a.PNG", "b.png", "deep/d.png", "deep/er/c.jpg"]
    assert names(folder, PassedOver) == ["notes.txt"]


def test_links_to_what_is_walked_or_leads_out_are_not_followed(
    folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    write_flat(outside / "secret.png", 0.5)
    (folder / "file.png").symlink_to(outside / "secret.png")
    (folder / "folder").symlink_to(outside)
    (folder / "round").symlink_to(folder)
    (folder / "twice.png").symlink_to("b.png")
    (folder / "gone.png").symlink_to(folder / "missing.png")

    refused = {
        file.path.name: file.refused
        for file in walk_images(folder)
        if isinstance(file, Found) and file.refused
    }

    assert set(refused) == {"file.png", "folder", "gone.png"}
    assert "out of the folder" in refused["file.png"]
    assert "nowhere" in refused["gone.png"]
    assert names(folder, PassedOver) == ["round", "twice.png"]


def test_a_link_to_the_folder_itself_serves(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)

    assert len(names(tmp_path / "link")) == 4


def test_what_is_no_regular_file_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")

    (pipe,) = (f for f in walk_images(folder) if f.path.name == "pipe.png")

    assert isinstance(pipe, Found)
    assert "regular" in (pipe.refused or "")


def test_files_are_found_as_they_are_asked_for(folder: Path) -> None:
    walk = walk_images(folder)
    next(walk)
    (folder / "deep" / "late.png").touch()

    assert "late.png" in {file.path.name for file in walk}


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        walk_images(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(InputRefused, match="not a folder"):
        walk_images(tmp_path / "file")


def test_files_without_a_suffix_are_found_through_links_with_one(folder: Path) -> None:
    """git-annex, DVC and the cache of Hugging Face keep images so."""
    (folder / "blobs").mkdir()
    write_flat(folder / "blobs" / "x.png", 0.5)
    (folder / "blobs" / "x.png").rename(folder / "blobs" / "5f3a")
    (folder / "deep" / "1.png").symlink_to("../blobs/5f3a")
    (folder / "deep" / "2.png").symlink_to("1.png")
    os.mkfifo(folder / "blobs" / "pipe")
    (folder / "deep" / "3.png").symlink_to("../blobs/pipe")

    found = {f.path.name: f for f in walk_images(folder)}

    assert found["1.png"] == Found(folder / "deep" / "1.png")
    assert found["2.png"] == Found(folder / "deep" / "2.png")
    assert found["3.png"] == Found(folder / "deep/3.png", "is not a regular file")
    assert found["5f3a"] == PassedOver(folder / "blobs" / "5f3a")


def test_links_not_named_as_images_are_counted_like_other_files(folder: Path) -> None:
    (folder / "notes").symlink_to("/etc/hostname")
    (folder / "nowhere").symlink_to("missing")
    (folder / "b").symlink_to("b.png")

    assert names(folder, PassedOver) == ["b", "notes", "nowhere"]
