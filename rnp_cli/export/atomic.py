"""Files appear whole or not at all, and never over another unless told so."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rnp_cli.errors import OutputExists, RnpError, UsageError


def check_writable(paths: tuple[Path, ...], *, force: bool) -> None:
    """Refuse before the work what would fail after it."""
    for path in paths:
        check_parent(path)
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", hint="Name a file.")
        if not force and os.path.lexists(path):
            raise already_there(path)


def check_parent(path: Path) -> None:
    """Raise UsageError where nothing can be put beside ``path``."""
    if not path.parent.is_dir():
        raise UsageError(
            f"The folder {path.parent} does not exist.",
            hint="Create it, or choose another place with --output.",
        )
    if not os.access(path.parent, os.W_OK):
        raise UsageError(
            f"The folder {path.parent} cannot be written to.",
            hint="Choose another place with --output.",
        )


def already_there(path: Path) -> OutputExists:
    """Return the error for an output whose name is taken."""
    return OutputExists(
        f"{path} is already there.",
        hint="Choose another name with --output, or replace it with --force.",
    )


def not_written(error: OSError) -> RnpError:
    """Return the error for what the system refuses, as when the disk is full."""
    return RnpError(
        f"The output could not be written: {error.strerror or error}.",
        hint="Make room or choose another place with --output, and run again.",
    )


def write_all(contents: Mapping[Path, bytes], *, force: bool) -> None:
    """Write every file beside its place first, then put each in its place.

    All of them or none, except that ``force`` cannot bring a replaced file back.
    Raises OutputExists when one has appeared meanwhile and ``force`` is not given, and
    RnpError when the system refuses, as when the disk is full.
    """
    with _told():
        _write_all(contents, force=force)


@contextmanager
def writing(path: Path, *, force: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that adds text to a file, which is there after the block.

    A block that ends in an exception leaves nothing. Raises what ``write_all`` raises.
    """
    with _told():
        handle, name = tempfile.mkstemp(prefix=".rnp-", suffix=".tmp", dir=path.parent)
    temporary = Path(name)

    def write(text: str) -> None:
        with _told():
            file.write(text.encode("utf-8", "backslashreplace"))

    try:
        with os.fdopen(handle, "wb") as file:
            yield write
            with _told():
                _finish(file)
        with _told():
            temporary.chmod(0o666 & ~umask())
            if force:
                temporary.replace(path)
            else:
                _place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _told() -> Iterator[None]:
    """Turn a refusal of the system into an error for the user."""
    try:
        yield
    except OSError as error:
        raise not_written(error) from error


def _write_all(contents: Mapping[Path, bytes], *, force: bool) -> None:
    waiting: list[tuple[Path, Path]] = []
    placed: list[Path] = []
    try:
        for path, content in contents.items():
            waiting.append((_beside(path, content), path))
        for temporary, path in waiting:
            if force:
                temporary.replace(path)
                continue
            _place(temporary, path)
            placed.append(path)
    except BaseException:
        for path in placed:
            path.unlink(missing_ok=True)
        raise
    finally:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)


def _place(temporary: Path, path: Path) -> None:
    """Give the file its name, if nothing has it yet."""
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise already_there(path) from error
    except OSError:  # a file system without hard links
        try:
            path.touch(exist_ok=False)
        except FileExistsError as error:
            raise already_there(path) from error
        temporary.replace(path)


def _beside(path: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(prefix=".rnp-", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            _finish(file)
        temporary.chmod(0o666 & ~umask())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _finish(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def umask() -> int:
    """Return the permissions that new files do not get."""
    current = os.umask(0o077)
    os.umask(current)
    return current
