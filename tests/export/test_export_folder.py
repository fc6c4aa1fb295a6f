from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnp_cli.errors import OutputExists, RnpError, UsageError
from rnp_cli.export.folder import check_folder, write_folder

OWN = re.compile(r"[ab]\.txt")
FILES = {"a.txt": b"new", "b.txt": b"{}"}


class Failing(dict[str, bytes]):
    """Files of which one cannot be had, after another is on the disk."""

    def items(self) -> Iterator[tuple[str, bytes]]:  # type: ignore[override]
        yield from super().items()
        raise OSError("No space left on device")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def earlier(folder: Path) -> Path:
    """The folder as an earlier run left it."""
    folder.mkdir()
    (folder / "b.txt").write_bytes(b"old")
    return folder


def test_a_folder_is_written_whole_and_nothing_else(
    tmp_path: Path, folder: Path
) -> None:
    usual = tmp_path / "usual"
    usual.mkdir()

    write_folder(folder, FILES, own=OWN, force=False)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert sorted(tmp_path.iterdir()) == [folder, usual]
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


def test_an_existing_folder_is_refused_before_and_after_the_work(earlier: Path) -> None:
    with pytest.raises(OutputExists, match="out") as error:
        check_folder(earlier, own=OWN, force=False)
    with pytest.raises(OutputExists):
        write_folder(earlier, FILES, own=OWN, force=False)

    assert "--force" in error.value.hint
    assert [path.read_bytes() for path in earlier.iterdir()] == [b"old"]
    assert list(earlier.parent.iterdir()) == [earlier]


def test_force_replaces_all_of_it(earlier: Path) -> None:
    check_folder(earlier, own=OWN, force=True)
    write_folder(earlier, {"a.txt": b"new"}, own=OWN, force=True)

    assert {p.name: p.read_bytes() for p in earlier.iterdir()} == {"a.txt": b"new"}
    assert list(earlier.parent.iterdir()) == [earlier]


@pytest.mark.parametrize("other", ["thesis.txt", "a.txt.old"])
def test_not_even_force_replaces_a_folder_with_other_things(
    earlier: Path, other: str
) -> None:
    (earlier / other).write_bytes(b"keep")

    with pytest.raises(UsageError, match=re.escape(other)):
        check_folder(earlier, own=OWN, force=True)
    with pytest.raises(UsageError):
        write_folder(earlier, FILES, own=OWN, force=True)

    assert (earlier / other).read_bytes() == b"keep"
    assert (earlier / "b.txt").read_bytes() == b"old"


def test_not_even_force_replaces_a_folder_of_folders(earlier: Path) -> None:
    (earlier / "a.txt").mkdir()

    with pytest.raises(UsageError, match=r"a\.txt"):
        check_folder(earlier, own=OWN, force=True)


def test_not_even_force_replaces_a_file_or_a_link(tmp_path: Path, folder: Path) -> None:
    folder.write_bytes(b"keep")
    link = tmp_path / "link"
    link.symlink_to(tmp_path, target_is_directory=True)

    for path in (folder, link):
        with pytest.raises(UsageError, match="no folder"):
            check_folder(path, own=OWN, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_a_failure_while_writing_leaves_nothing_new(
    tmp_path: Path, folder: Path, force: bool
) -> None:
    if force:
        folder.mkdir()
        (folder / "b.txt").write_bytes(b"old")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(RnpError, match="No space"):
        write_folder(folder, Failing(FILES), own=OWN, force=force)

    assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_replaced_comes_back(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, calls = Path.rename, []

    def fail_once(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 1:
            raise PermissionError(1, "Operation not permitted")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)

    with pytest.raises(RnpError, match="not permitted"):
        write_folder(earlier, FILES, own=OWN, force=True)

    assert [path.read_bytes() for path in earlier.iterdir()] == [b"old"]
    assert list(earlier.parent.iterdir()) == [earlier]


def test_a_missing_place_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        check_folder(tmp_path / "missing" / "out", own=OWN, force=False)
