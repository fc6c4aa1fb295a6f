"""One digest for many files, which others can compute as well."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from rnp_cli.errors import InputRefused


def digest_of_files(folder: Path, paths: Iterable[Path]) -> str:
    """Digest the list that ``sha256sum`` makes of files within ``folder``, sorted.

    It is what ``sha256sum */* | LC_ALL=C sort | sha256sum`` gives there, if nothing
    else lies there: contents and names decide, and with them the classes of class
    folders. Each file is read as a stream, anew: it is not what was decoded where
    somebody changes the folder meanwhile. Raises InputRefused for one that cannot be
    read.
    """
    lines = sorted(_line(path, folder) for path in paths)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _line(path: Path, folder: Path) -> bytes:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputRefused(
            f"{path} cannot be read: {error.strerror}.",
            hint="The folder must stay as it is while it is being used.",
        ) from error
    inside = path.relative_to(folder) if path.is_relative_to(folder) else path
    name = os.fsencode(inside.as_posix())
    mark = b""
    if any(sign in name for sign in b"\\\n\r"):  # sha256sum marks such lines
        mark = b"\\"
        name = name.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
    return mark + digest.encode() + b"  " + name + b"\n"
