from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from rnp_cli.errors import ExitCode, OutputExists, RnpError, UsageError
from rnp_cli.export.atomic import check_writable, write_all, writing


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "model.safetensors", tmp_path / "model.report.json"


class Growing(Mapping[Path, bytes]):
    """Contents during whose reading something happens, as in a race."""

    def __init__(self, contents: dict[Path, bytes], meanwhile: Callable[[], object]):
        self._contents = contents
        self._meanwhile = meanwhile

    def __getitem__(self, path: Path) -> bytes:
        return self._contents[path]

    def __iter__(self) -> Iterator[Path]:
        yield from self._contents
        self._meanwhile()

    def __len__(self) -> int:
        return len(self._contents)


def fails() -> None:
    raise OSError("No space left on device")


def test_every_file_is_written_whole_and_nothing_else(
    tmp_path: Path, two: tuple[Path, Path]
) -> None:
    write_all({two[0]: b"tensors", two[1]: b"{}"}, force=False)

    assert [path.read_bytes() for path in two] == [b"tensors", b"{}"]
    assert sorted(tmp_path.iterdir()) == sorted(two)


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    path, usual = tmp_path / "model.safetensors", tmp_path / "usual"
    usual.touch()

    write_all({path: b""}, force=False)

    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


@pytest.mark.parametrize("existing", [0, 1])
def test_an_existing_file_is_refused_before_and_after_the_work(
    tmp_path: Path, two: tuple[Path, Path], existing: int
) -> None:
    two[existing].write_bytes(b"mine")

    with pytest.raises(OutputExists, match=two[existing].name) as error:
        check_writable(two, force=False)
    with pytest.raises(OutputExists, match=two[existing].name):
        write_all({two[0]: b"new", two[1]: b"new"}, force=False)

    assert "--force" in error.value.hint
    assert error.value.exit_code is ExitCode.ERROR
    assert list(tmp_path.iterdir()) == [two[existing]]
    assert two[existing].read_bytes() == b"mine"


def test_a_link_to_nowhere_counts_as_existing(
    tmp_path: Path, two: tuple[Path, Path]
) -> None:
    two[0].symlink_to(tmp_path / "nowhere")

    with pytest.raises(OutputExists):
        check_writable(two, force=False)
    with pytest.raises(OutputExists):
        write_all({two[0]: b"new"}, force=False)

    assert not (tmp_path / "nowhere").exists()


def test_force_replaces(tmp_path: Path, two: tuple[Path, Path]) -> None:
    two[0].write_bytes(b"old and longer")

    check_writable(two, force=True)
    write_all({two[0]: b"new", two[1]: b"{}"}, force=True)

    assert two[0].read_bytes() == b"new"
    assert sorted(tmp_path.iterdir()) == sorted(two)


def test_force_replaces_a_link_and_not_what_it_points_to(
    tmp_path: Path, two: tuple[Path, Path]
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep")
    two[0].symlink_to(precious)

    write_all({two[0]: b"new"}, force=True)

    assert precious.read_bytes() == b"keep"
    assert not two[0].is_symlink()


@pytest.mark.parametrize("existing", [0, 1])
def test_a_file_that_appears_meanwhile_is_kept(
    tmp_path: Path, two: tuple[Path, Path], existing: int
) -> None:
    contents = {two[0]: b"new", two[1]: b"new"}
    check_writable(two, force=False)
    race = Growing(contents, lambda: two[existing].write_bytes(b"mine"))

    with pytest.raises(OutputExists):
        write_all(race, force=False)

    assert list(tmp_path.iterdir()) == [two[existing]]
    assert two[existing].read_bytes() == b"mine"


@pytest.mark.parametrize("force", [False, True])
def test_a_failure_while_writing_leaves_nothing(
    tmp_path: Path, two: tuple[Path, Path], force: bool
) -> None:
    with pytest.raises(RnpError, match="No space"):
        write_all(Growing({two[0]: b"a", two[1]: b"b"}, fails), force=force)

    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_to_the_disk_leaves_nothing(
    tmp_path: Path, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: fails())

    with pytest.raises(RnpError, match="No space"):
        write_all({two[0]: b"a"}, force=False)

    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        check_writable((tmp_path / "missing" / "model.safetensors",), force=False)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_is_no_output_file(tmp_path: Path, force: bool) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        check_writable((tmp_path,), force=force)


def test_a_file_system_without_hard_links_serves_as_well(
    tmp_path: Path, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    two[1].write_bytes(b"mine")

    write_all({two[0]: b"tensors"}, force=False)
    with pytest.raises(OutputExists):
        write_all({two[1]: b"{}"}, force=False)

    assert [path.read_bytes() for path in two] == [b"tensors", b"mine"]
    assert sorted(tmp_path.iterdir()) == sorted(two)


def test_a_file_written_bit_by_bit_appears_when_all_is_there(
    two: tuple[Path, Path],
) -> None:
    with writing(two[0], force=False) as write:
        write("first ")
        write("and \udcff last")
        assert not two[0].exists()

    assert two[0].read_bytes() == b"first and \\udcff last"
    assert list(two[0].parent.iterdir()) == [two[0]]


@pytest.mark.parametrize("error", [OSError("of another"), KeyboardInterrupt()])
def test_a_file_whose_writing_is_broken_off_never_appears(
    two: tuple[Path, Path], error: BaseException
) -> None:
    two[0].write_bytes(b"mine")

    def break_off() -> None:
        with writing(two[0], force=True) as write:
            write("half")
            raise error

    with pytest.raises(type(error)):
        break_off()

    assert two[0].read_bytes() == b"mine"
    assert list(two[0].parent.iterdir()) == [two[0]]


def test_a_file_written_bit_by_bit_replaces_none_that_appears_meanwhile(
    two: tuple[Path, Path],
) -> None:
    def race() -> None:
        with writing(two[0], force=False) as write:
            write("new")
            two[0].write_bytes(b"mine")

    with pytest.raises(OutputExists):
        race()

    assert two[0].read_bytes() == b"mine"
    assert list(two[0].parent.iterdir()) == [two[0]]


def test_a_full_disk_is_told_as_such(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: fails())

    with pytest.raises(RnpError, match="No space"), writing(two[0], force=False):
        pass

    assert list(two[0].parent.iterdir()) == []
