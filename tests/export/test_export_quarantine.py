from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

import pytest

from rnp_cli.errors import OutputExists, RnpError, UsageError
from rnp_cli.export.quarantine import NotTaken, Quarantine


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.png").write_bytes(b"an image")
    return folder


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("move", [False, True])
def test_a_file_keeps_its_path_and_stays_unless_it_is_to_move(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    move: bool,
    links: bool,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    quarantine = Quarantine(tmp_path / "aside", source, move=move)
    assert not (tmp_path / "aside").exists()

    quarantine.take(source / "deep" / "a.png")

    assert (tmp_path / "aside/deep/a.png").read_bytes() == b"an image"
    assert (source / "deep" / "a.png").exists() == (not move)


@pytest.mark.parametrize("move", [False, True])
def test_nothing_is_replaced(source: Path, tmp_path: Path, move: bool) -> None:
    quarantine = Quarantine(tmp_path / "aside", source, move=move)
    (tmp_path / "aside" / "deep").mkdir(parents=True)
    (tmp_path / "aside/deep/a.png").write_bytes(b"mine")  # after the check

    with pytest.raises(RnpError, match=r"a\.png could not be put"):
        quarantine.take(source / "deep" / "a.png")

    assert (tmp_path / "aside/deep/a.png").read_bytes() == b"mine"
    assert (source / "deep" / "a.png").read_bytes() == b"an image"


def test_a_folder_in_use_or_in_the_source_cannot_serve(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="lies in"):
        Quarantine(source / "aside", source, move=False)
    with pytest.raises(OutputExists, match="not empty"):
        Quarantine(tmp_path, source, move=False)
    with pytest.raises(OutputExists, match="not a folder"):
        Quarantine(source / "deep" / "a.png", tmp_path / "other", move=False)


@pytest.mark.parametrize("move", [False, True])
def test_of_a_link_the_content_is_taken(
    source: Path, tmp_path: Path, move: bool
) -> None:
    link = source / "b.png"
    link.symlink_to("deep/a.png")

    Quarantine(tmp_path / "aside", source, move=move).take(link)

    assert not (tmp_path / "aside/b.png").is_symlink()
    assert (tmp_path / "aside/b.png").read_bytes() == b"an image"
    assert link.is_symlink() == (not move)
    assert (source / "deep" / "a.png").read_bytes() == b"an image"


@pytest.mark.parametrize("move", [False, True])
def test_half_a_copy_does_not_stay(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: bool
) -> None:
    def fill(content: object, copy: BinaryIO) -> None:
        copy.write(b"an")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", lambda *_, **__: fails())
    monkeypatch.setattr(shutil, "copyfileobj", fill)
    quarantine = Quarantine(tmp_path / "aside", source, move=move)

    with pytest.raises(NotTaken, match="No space left"):
        quarantine.take(source / "deep" / "a.png")

    assert quarantine.taken == 0
    assert not (tmp_path / "aside/deep/a.png").exists()
    assert (source / "deep" / "a.png").read_bytes() == b"an image"


def test_a_file_that_may_not_leave_is_in_one_place_only(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.is_relative_to(source):
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)

    with pytest.raises(NotTaken, match="Permission denied"):
        Quarantine(tmp_path / "aside", source, move=True).take(source / "deep/a.png")

    assert not (tmp_path / "aside/deep/a.png").exists()
    assert (source / "deep" / "a.png").exists()


def fails() -> None:
    raise PermissionError(1, "Operation not permitted")
