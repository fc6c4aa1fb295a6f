"""The reader's process: it takes a model file on stdin and never runs any of it.

Its command line ends in a task as JSON. The tensors go to stdout as safetensors, what
it found goes to stderr as JSON. It knows nothing but the standard library, and by the
time it looks at the first byte it can open no file and no connection.
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

OUT_OF_MEMORY = 75  # exit status


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the reader is told about the file on its stdin."""

    suffix: str
    wants_tensors: bool
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
    source = FileIO(0, closefd=False)
    tensors, answer = (FileIO(number, "wb", closefd=False) for number in (1, 2))
    size = os.fstat(0).st_size
    limits = task.limits
    confine(
        Bounds(
            memory=limits.address_space(size),
            cpu_seconds=limits.cpu_time(size),
            file_bytes=2 * limits.max_tensor_bytes + limits.max_answer_bytes,
        )
    )
    try:
        output = tensors if task.wants_tensors else None
        scan = examine(RegularFile(source, size), task.suffix, limits, output)
        text = json.dumps(dataclasses.asdict(scan)).encode()
    except MemoryError:
        return OUT_OF_MEMORY
    except OSError as error:  # what mmap raises instead
        if error.errno == errno.ENOMEM:
            return OUT_OF_MEMORY
        raise
    write(answer, memoryview(text))
    return 0
