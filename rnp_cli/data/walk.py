"""The image files below a folder, one after another, however many there are.

A link is followed only to a file of the folder that is not named as an image, as in the
stores of git-annex, DVC and Hugging Face. What else it leads to has a row of its own
where it lies in the folder, and is none of the folder's business where it does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rnp_cli.data.listing import SUFFIXES
from rnp_cli.errors import InputRefused, UsageError


@dataclass(frozen=True)
class Found:
    """A file that is named as an image. refused: why it may not be opened, or None."""

    path: Path
    refused: str | None = None


@dataclass(frozen=True)
class PassedOver:
    """A file or link that is not named as an image, or a link to what is walked."""

    path: Path


def walk_images(folder: Path) -> Iterator[Found | PassedOver]:
    """Yield what a folder holds, each folder's entries by name, its images first.

    Raises UsageError when there is no such folder and InputRefused when it is none.
    Only the entries of the folders on the way down are in memory at a time.
    """
    if not folder.exists():
        raise UsageError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise InputRefused(f"{folder} is not a folder.")
    return _walk(folder, folder.resolve())


def _walk(top: Path, root: Path) -> Iterator[Found | PassedOver]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, f"cannot be opened: {error.strerror or error}")
            continue
        inner = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inner.append(folder / entry.name)
            else:
                yield _file(entry, root)
        waiting += reversed(inner)


def _file(entry: os.DirEntry[str], root: Path) -> Found | PassedOver:
    path = Path(entry.path)
    if entry.is_symlink():
        return _link(path, root)
    if not _is_image(path):
        return PassedOver(path)
    if not entry.is_file(follow_symlinks=False):
        return Found(path, "is not a regular file")
    return Found(path)


def _link(path: Path, root: Path) -> Found | PassedOver:
    named = _is_image(path)
    try:
        end = path.resolve(strict=True)
        is_folder = end.is_dir()
    except (OSError, RuntimeError):  # broken, or in a circle
        if not named:
            return PassedOver(path)
        return Found(path, "is a link that leads nowhere")
    inside = end.is_relative_to(root)
    if not inside and (named or is_folder):
        return Found(path, "is a link out of the folder, and was not followed")
    if not named or is_folder or _is_image(end):
        return PassedOver(path)
    if not end.is_file():
        return Found(path, "is not a regular file")
    return Found(path)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES
