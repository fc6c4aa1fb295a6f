"""Starts the reader's process, waits for it, and explains how it died."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from io import FileIO
from pathlib import Path

from rnp_cli.checkpoints.anonymous_file import anonymous_file, seal
from rnp_cli.checkpoints.answer import read_answer
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import reader_died
from rnp_cli.checkpoints.scan import Scan
from rnp_cli.checkpoints.sniff import looks_like_onnx
from rnp_cli.checkpoints.source import RegularFile
from rnp_cli.checkpoints.worker import NO_LIBRARY, OUT_OF_MEMORY, Task
from rnp_cli.errors import RnpError
from rnp_cli.graph import OnnxGraph

_PACKAGES = Path(__file__).resolve().parents[2]
# It ends at once: after the last byte of the answer there is nothing to clean up.
_START = (
    "import os, sys; sys.path.append(sys.argv[1]); "
    "from rnp_cli.checkpoints.worker import main; os._exit(main())"
)
# What an interpreter may need to start at all.
_NEEDED = ("SYSTEMROOT", "LD_LIBRARY_PATH")


def read_in_process(
    file: RegularFile,
    suffix: str,
    limits: LoadLimits,
    *,
    tensors: FileIO | None = None,
) -> tuple[Scan, OnnxGraph | None]:
    """Let another process examine the file; its tensors go to ``tensors``.

    With the tensors of an ONNX model comes its graph. Raises InputRefused where that
    process dies or its answer is malformed, whatever the reason: nothing else is tried.
    """
    wants_tensors, is_onnx = tensors is not None, looks_like_onnx(file)
    task = Task(
        suffix=suffix, wants_tensors=wants_tensors, is_onnx=is_onnx, limits=limits
    )
    wall_seconds = limits.wall_time(file.size)
    with anonymous_file() as answer:
        status = _run(command(task), file, tensors, answer, wall_seconds)
        if status is None:
            raise reader_died(f"was stopped after {wall_seconds} seconds")
        if status == NO_LIBRARY:
            raise RnpError(
                "The reader's process cannot import the libraries for ONNX.",
                hint="Install rnp and onnx into a virtual environment of their own.",
            )
        if status:
            raise reader_died(_reason(status))
        seal(answer)
        found = read_answer(answer, limits, wants_graph=is_onnx and wants_tensors)
    if tensors is not None:
        seal(tensors)
    return found


def command(task: Task) -> list[str]:
    """Isolated, and without site-packages for all but the libraries of ONNX."""
    options = ["-I"] if task.is_onnx else ["-I", "-S"]
    options += ["-X", "utf8", "-c", _START]
    return [sys.executable, *options, str(_PACKAGES), task.to_json()]


def _run(
    arguments: list[str],
    file: RegularFile,
    tensors: FileIO | None,
    answer: FileIO,
    wall_seconds: float,
) -> int | None:
    """Return the exit status; None where the time was up."""
    environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="rnp-") as folder:
        try:
            process = subprocess.Popen(
                arguments,
                stdin=file.fileno(),
                stdout=subprocess.DEVNULL if tensors is None else tensors,
                stderr=answer,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise RnpError(
                f"The reader's process cannot be started: {error.strerror}.",
                hint="Model files are read in a process of their own, and only there.",
            ) from error
        try:
            return _wait(process, wall_seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait without the naps that ``Popen.wait`` takes where the system can."""
    if sys.platform == "linux":
        with suppress(OSError):
            descriptor = os.pidfd_open(process.pid)
            try:
                end = select.poll()
                end.register(descriptor, select.POLLIN)
                end.poll(1_000 * seconds)
            finally:
                os.close(descriptor)
            seconds = 0
    return process.wait(seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its children, unless it has ended by itself."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(status: int) -> str:
    if status == OUT_OF_MEMORY:
        return "needed more memory than the file may take"
    if status > 0:
        return f"ended with status {status}"
    if sys.platform != "win32" and -status == signal.SIGXCPU:
        return "used up its processor time"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
