"""The reader's process: it takes a model file on stdin and never runs any of it.

Its command line ends in a task as JSON. The tensors go to stdout as safetensors, what
it found goes to stderr as JSON. It knows nothing but the standard library, except
where the file is an ONNX model; and by the time it looks at the first byte it can open
no file and no connection.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import sys
from dataclasses import dataclass
from io import FileIO

from rnp_cli.checkpoints.examine import examine
from rnp_cli.checkpoints.handover import write
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.sandbox import Bounds, confine
from rnp_cli.checkpoints.source import RegularFile

OUT_OF_MEMORY, NO_LIBRARY = 75, 76  # exit statuses
# A process with threads cannot leave the network; NumPy, below onnx, would start some.
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the reader is told about the file on its stdin."""

    suffix: str
    wants_tensors: bool
    is_onnx: bool  # then the libraries for it are there
    limits: LoadLimits

    def to_json(self) -> str:
        """Write it down for the command line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Read what ``to_json`` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "limits": LoadLimits(**fields["limits"])})


def main() -> int:
    """Do the task of the last argument; the exit status is 0 after any answer."""
    task = Task.from_json(sys.argv[-1])
    if task.is_onnx:
        os.environ |= _ONE_THREAD
        try:
            from rnp_cli.checkpoints.onnx import warm_up
        except ImportError:
            return NO_LIBRARY
        warm_up()
    source = FileIO(0, closefd=False)
    tensors, answer = (FileIO(number, "wb", closefd=False) for number in (1, 2))
    size = os.fstat(0).st_size
    limits = task.limits
    confine(
        Bounds(
            memory=limits.address_space(size, is_onnx=task.is_onnx),
            cpu_seconds=limits.cpu_time(size),
            file_bytes=2 * limits.max_tensor_bytes + limits.max_answer_bytes,
        )
    )
    try:
        output = tensors if task.wants_tensors else None
        found = examine(RegularFile(source, size), task.suffix, limits, output)
        text = json.dumps(dataclasses.asdict(found)).encode()
    except MemoryError:
        return OUT_OF_MEMORY
    except OSError as error:  # what mmap raises instead
        if error.errno == errno.ENOMEM:
            return OUT_OF_MEMORY
        raise
    write(answer, memoryview(text))
    return 0
