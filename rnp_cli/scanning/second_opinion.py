"""What other scanners say of a file, where they are installed; they never decide.

They are asked by their commands, in processes with limits on time and, where the
system can, memory. Those have the rights of whoever asks: nothing confines them.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rnp_cli.errors import UsageError
from rnp_cli.report.scan import Opinion, SecondOpinion

_SECONDS = 30
_MEMORY = 4 << 30  # bytes of address space
_MOST_OUTPUT = 1 << 16  # bytes that are looked at, of the end
_CRASH = "Traceback (most recent call last)"


@dataclass(frozen=True, kw_only=True)
class _Tool:
    name: str
    arguments: tuple[str, ...]  # before the path
    by_exit_code: Mapping[int, Opinion]
    unread: str | None = None  # printed where it found nothing to scan


_TOOLS = (
    _Tool(
        name="fickling",
        arguments=("--check-safety",),
        by_exit_code={0: "passed", 1: "flagged", 2: "error"},
    ),
    _Tool(
        name="modelscan",
        arguments=("-p",),
        by_exit_code={0: "passed", 1: "flagged", 2: "error", 3: "not read"},
    ),
    _Tool(
        name="picklescan",
        arguments=("-p",),
        by_exit_code={0: "passed", 1: "flagged", 2: "error"},
        unread="Scanned files: 0",
    ),
)
NAMES = tuple(tool.name for tool in _TOOLS)


def installed() -> dict[str, str]:
    """Return the programs on PATH, by name. Raises UsageError where there is none."""
    found = {name: path for name in NAMES if (path := shutil.which(name))}
    if not found:
        raise UsageError(
            f"There is no other scanner: none of {', '.join(NAMES)} is on PATH.",
            hint="Install one, with `pip install picklescan` for example, or leave "
            "--second-opinion out: it decides nothing.",
        )
    return found


def opinions(path: Path, programs: Mapping[str, str]) -> tuple[SecondOpinion, ...]:
    """Ask each program about a file; what is no regular file is shown to none."""
    is_regular = False
    with suppress(OSError):
        is_regular = stat.S_ISREG(path.stat().st_mode)
    return tuple(
        SecondOpinion(
            tool=tool.name,
            verdict=_ask(tool, programs[tool.name], path) if is_regular else "not read",
        )
        for tool in _TOOLS
        if tool.name in programs
    )


def _ask(tool: _Tool, program: str, path: Path) -> Opinion:
    command = [str(Path(program).absolute()), *tool.arguments, str(path.absolute())]
    # Some write files where they stand.
    with tempfile.TemporaryDirectory(prefix="rnp-") as folder:
        try:
            code, output = _run(command, folder)
        except subprocess.TimeoutExpired:
            return "timed out"
        except OSError:
            return "error"
    if _CRASH in output:
        return "error"
    if tool.unread is not None and tool.unread in output:
        return "not read"
    return tool.by_exit_code.get(code, "error")


def _run(command: Sequence[str], folder: str) -> tuple[int, str]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=None if sys.platform == "win32" else _limit,
        )
        try:
            code = process.wait(_SECONDS)
        finally:
            process.kill()
            process.wait()
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _MOST_OUTPUT))
        return code, output.read().decode(errors="replace")


def _limit() -> None:
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_MEMORY, _MEMORY))
