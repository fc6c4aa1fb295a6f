"""A folder appears whole or not at all, and never over another unless told so."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rnp_cli.errors import UsageError
from rnp_cli.export.atomic import already_there, check_parent, not_written, umask


def check_folder(folder: Path, *, own: re.Pattern[str], force: bool) -> None:
    """Refuse before the work what would fail after it.

    own: names of the files that such a folder holds. Even with ``force`` no folder is
    replaced that holds anything else.
    """
    check_parent(folder)
    if not os.path.lexists(folder):
        return
    if not force:
        raise already_there(folder)
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(
            f"{folder} is no folder, or a link to one.",
            hint="Name a folder of its own with --output.",
        )
    for path in sorted(folder.iterdir()):
        if not own.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            raise UsageError(
                f"{folder} holds {path.name}, which is none of the files written here.",
                hint="--force replaces only what an earlier run wrote: choose another "
                "folder with --output.",
            )


def write_folder(
    folder: Path,
    contents: Mapping[str, bytes],
    *,
    own: re.Pattern[str],
    force: bool,
) -> None:
    """Write every file into a folder beside the place first, then put it there.

    contents: by file name. With ``force`` an older folder goes only when the new one is
    whole. Raises OutputExists where a folder has appeared meanwhile and ``force`` is
    not given, and RnpError when the system refuses.
    """
    try:
        whole = Path(_beside(folder))
        try:
            _fill(whole, contents)
            check_folder(folder, own=own, force=force)
            _place(whole, folder)
        finally:
            shutil.rmtree(whole, ignore_errors=True)
    except OSError as error:
        raise not_written(error) from error


def _fill(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        with (folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    folder.chmod(0o777 & ~umask())


def _place(whole: Path, folder: Path) -> None:
    """Give the folder its name; the one that had it comes back where that fails."""
    if not folder.exists():
        whole.rename(folder)
        return
    aside = Path(_beside(folder))
    try:
        folder.replace(aside)  # which is empty
        whole.rename(folder)
    finally:
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(folder)


def _beside(folder: Path) -> str:
    return tempfile.mkdtemp(prefix=".rnp-", suffix=".tmp", dir=folder.parent)
