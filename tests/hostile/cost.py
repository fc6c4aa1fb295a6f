"""What a process costs, as a small process that started it sees.

A process begins with the peak memory of the one that started it, which tells nothing
where that one has torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

_START = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr, stderr=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - began
code = os.waitstatus_to_exitcode(status)
print(json.dumps([seconds, 1024 * usage.ru_maxrss, code]))
"""


class Cost(NamedTuple):
    """How a process ended."""

    seconds: float
    memory: int  # bytes, the most that it or a process it waited for had
    code: int
    shown: str


def cost_of(*arguments: object, folder: Path) -> Cost:
    """Run Python with arguments in ``folder``; needs Linux."""
    command = [sys.executable, "-I", "-S", "-c", _START, sys.executable]
    with tempfile.TemporaryFile() as output:
        ended = subprocess.run(
            [*command, *map(str, arguments)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env={**os.environ, "COLUMNS": "100"},
            check=True,
        )
        output.seek(0)
        shown = output.read().decode(errors="replace")
    seconds, memory, code = json.loads(ended.stdout)
    return Cost(seconds, memory, code, shown)
