"""Copies of files, or the files themselves, put aside in a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rnp_cli.errors import OutputExists, RnpError, UsageError


class NotTaken(RnpError):
    """A file that stays where it was. why: what the system says."""

    def __init__(self, file: Path, folder: Path, why: str) -> None:
        super().__init__(
            f"{file} could not be put into {folder}: {why}.",
            hint="What was put there before stays there.",
        )
        self.why = why


class Quarantine:
    """A folder that keeps files under the paths they had; nothing is ever replaced.

    The folder is made when the first file comes. taken: how many have come.
    """

    def __init__(self, folder: Path, source: Path, *, move: bool) -> None:
        """Raise an RnpError, before the work, for a folder that cannot serve.

        source: the folder that the files come from.
        """
        if folder.resolve().is_relative_to(source.resolve()):
            raise UsageError(
                f"{folder} lies in {source}, whose files it is to take.",
                hint="Choose a folder outside with --quarantine.",
            )
        if os.path.lexists(folder) and not folder.is_dir():
            raise OutputExists(f"{folder} is not a folder.", hint=_ANOTHER)
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputExists(f"{folder} is not empty.", hint=_ANOTHER)
        self.taken = 0
        self._folder = folder
        self._source = source
        self._move = move

    def take(self, file: Path) -> None:
        """Copy or move a file of the source; raise NotTaken where it is impossible."""
        place = self._folder / file.relative_to(self._source)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if self._move:
                _move(file, place)
            else:
                _copy(file, place)
        except OSError as error:
            why = error.strerror or str(error)
            raise NotTaken(file, self._folder, why) from error
        self.taken += 1


_ANOTHER = "Name a folder that is empty or not there with --quarantine."


def _move(file: Path, place: Path) -> None:
    """Give it the new name first, so that it is never without one.

    Of a link the content goes, for the link would lead nowhere from there.
    """
    if file.is_symlink():
        _copy(file, place)
    else:
        _link(file, place)
    try:
        file.unlink(missing_ok=True)  # whoever removed it meanwhile did the same
    except OSError:
        place.unlink(missing_ok=True)
        raise


def _link(file: Path, place: Path) -> None:
    try:
        os.link(file, place, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without hard links
        _copy(file, place)


def _copy(file: Path, place: Path) -> None:
    with file.open("rb") as content, place.open("xb") as copy:
        try:
            shutil.copyfileobj(content, copy)
            copy.flush()  # a disk that is full says so here
            shutil.copystat(file, place)
        except BaseException:
            place.unlink()  # no half of a file
            raise
