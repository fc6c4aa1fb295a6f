"""Opens a file once and takes its bytes into private memory.

What is hashed, checked and used afterwards are the same bytes, whatever happens to
the file meanwhile.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import malformed, over_limit, unsupported
from rnp_cli.errors import InputRefused, UsageError

if TYPE_CHECKING:
    from pathlib import Path  # the reader's process starts faster without

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symbolic link",
}


@dataclass(frozen=True)
class Source:
    """A whole file in memory."""

    data: mmap.mmap
    size: int
    sha256: str

    def read_at(self, offset: int, count: int) -> bytes:
        """At most ``count`` bytes from ``offset`` on; fewer at the file's end."""
        return self.data[offset : offset + count]


class RegularFile:
    """An open regular file of bounded size."""

    def __init__(self, file: FileIO, size: int) -> None:
        self._file = file
        self.size = size

    def fileno(self) -> int:
        """Its descriptor, for the process that reads it; the position is at 0."""
        self._file.seek(0)
        return self._file.fileno()

    def read_at(self, offset: int, count: int) -> bytes:
        """At most ``count`` bytes from ``offset`` on; fewer at the file's end."""
        self._file.seek(offset)
        parts: list[bytes] = []
        while count > 0 and (part := self._file.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def load(self) -> Source:
        """Read everything, once."""
        data = _private_memory(self.size)
        filled = 0
        self._file.seek(0)
        with memoryview(data) as view:
            while filled < self.size and (n := self._file.readinto(view[filled:])):
                filled += n
            if filled < self.size or self._file.read(1):
                raise malformed("The file changed while it was being read.")
            digest = hashlib.sha256(view).hexdigest()
        return Source(data, self.size, digest)


@contextmanager
def open_regular(
    path: Path, limits: LoadLimits, *, follows_links: bool = True
) -> Iterator[RegularFile]:
    """Open a regular, non-empty file without ever blocking on what is not one.

    Raises UsageError where there is no file, InputRefused where it is unsuitable.
    """
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, name, 0)
    if not follows_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        _check(path.stat(follow_symlinks=follows_links), limits)
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.", hint="Check the path.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputRefused(
            f"It cannot be opened: {reason}.",
            hint="Check the path and its permissions.",
        ) from None
    with FileIO(descriptor, "rb") as file:
        yield RegularFile(file, _check(os.fstat(descriptor), limits))


def _check(status: os.stat_result, limits: LoadLimits) -> int:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file")
        raise unsupported(f"It is {kind}.", hint="Give the path of one model file.")
    if status.st_size == 0:
        raise malformed("The file is empty.")
    if status.st_size > limits.max_file_bytes:
        raise over_limit(
            f"The file has {status.st_size:,} bytes; the limit is "
            f"{limits.max_file_bytes:,}."
        )
    return status.st_size


def _private_memory(size: int) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
