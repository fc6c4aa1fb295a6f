"""Files without a name: nobody else can open them, and nothing of them is left."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from io import FileIO


def anonymous_file() -> FileIO:
    """Open an empty file for reading and writing, in memory where the system can."""
    if sys.platform == "linux":
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        with suppress(OSError):
            return FileIO(os.memfd_create("rnp", flags), "r+b")
    with tempfile.TemporaryFile(prefix="rnp-") as file:
        return FileIO(os.dup(file.fileno()), "r+b")


def seal(file: FileIO) -> None:
    """Let nobody change the file any more, where the system can see to that."""
    if sys.platform != "linux":
        return
    import fcntl

    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    with suppress(OSError):  # a file on disk: its writer has ended
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_SEAL)
