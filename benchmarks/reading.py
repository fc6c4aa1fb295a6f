"""What it costs to read an untrusted file, beside torch.load(weights_only=True).

    python benchmarks/reading.py

Needs Linux, where the memory of processes can be seen. Writes
``benchmarks/results/reading.md``.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from rnp_cli.checkpoints import read_checkpoint, scan_file

RESULT = Path(__file__).resolve().parent / "results" / "reading.md"
SIZES = (1, 45, 500)  # MB
REPETITIONS = 15
KIB = 1024
MB = 1_000_000

HEAD = """\
# The cost of reading an untrusted file

`seconds` are medians of several runs taken in turns, from the page cache, with one
thread; `ratio` is that to `torch.load(weights_only=True)`, which checks much less and
runs in the caller's own process; the next column leaves out the start of the reader's
process. `MB here` is the memory that this process takes beyond its libraries, once
every tensor was used; `MB in the reader` is all of the reader's, interpreter included.

| file | | seconds | ratio | ratio without the start | MB here | MB in the reader |
|---|---|---:|---:|---:|---:|---:|"""
FOOT = (
    "Starting the reader and reading a file of a few bytes: {start:.3f} s. "
    f"torch {torch.__version__}, Python {platform.python_version()}, "
    f"{os.cpu_count()} cores, {platform.system()}; `python benchmarks/reading.py`.\n"
)

# What a fresh process does with the file, and the memory that it and its child take.
MEASURE = """
import json, os, sys, threading, time
from pathlib import Path
import torch
from rnp_cli.checkpoints import read_checkpoint, scan_file
torch.set_num_threads(1)
path, what = Path(sys.argv[1]), sys.argv[2]
me, child_peak, done = os.getpid(), 0, threading.Event()
def kib(pid, field):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if field in line), 0)
def watch():
    global child_peak
    while not done.wait(0.002):
        for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split():
            if b"checkpoints.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                child_peak = max(child_peak, kib(pid, "VmHWM"))
read_checkpoint(Path(sys.argv[3])), scan_file(Path(sys.argv[3]))
Path("/proc/self/clear_refs").write_text("5")
before = kib(me, "VmRSS")
threading.Thread(target=watch).start()
began = time.perf_counter()
if what == "torch.load": kept = torch.load(path, weights_only=True)
if what == "read_checkpoint": kept = read_checkpoint(path).state_dict
if what == "scan_file": kept = scan_file(path)
seconds = time.perf_counter() - began
if what != "scan_file": sum(float(tensor.sum()) for tensor in kept.values())
done.set()
print(json.dumps([seconds, kib(me, "VmHWM") - before, child_peak]))
"""


def make(path: Path, megabytes: int) -> None:
    """Save a state_dict of float32 matrices, about a megabyte each."""
    torch.manual_seed(0)
    count = max(4, megabytes)
    side = int((megabytes * MB / 4 / count) ** 0.5)
    torch.save({f"{i}.weight": torch.randn(side, side) for i in range(count)}, path)


def medians(path: Path, calls: dict[str, Callable[[Path], object]]) -> dict[str, float]:
    """Seconds of each call, taken in turns so that all share the same weather."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPETITIONS):
        for name, call in calls.items():
            began = time.perf_counter()
            call(path)
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peaks(path: Path, what: str, small: Path) -> tuple[float, float]:
    """MB of a fresh process beyond its libraries, and of its reader in all."""
    command = [sys.executable, "-c", MEASURE, str(path), what, str(small)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    _, own, child = json.loads(printed)
    return own * KIB / MB, child * KIB / MB


def main() -> None:
    """Measure, and write the table."""
    calls: dict[str, Callable[[Path], object]] = {
        "torch.load": lambda path: torch.load(path, weights_only=True),  # noqa: TID251
        "read_checkpoint": read_checkpoint,
        "scan_file": scan_file,
    }
    torch.set_num_threads(1)
    lines = [HEAD]
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.pt"
        torch.save({"w": torch.zeros(1)}, small)
        start = medians(small, {"read": read_checkpoint})["read"]
        for megabytes in SIZES:
            path = Path(folder) / f"{megabytes}.pt"
            make(path, megabytes)
            seconds = medians(path, calls)
            for name, value in seconds.items():
                ratio = value / seconds["torch.load"]
                rest = (value - start) / seconds["torch.load"]
                own, reader = peaks(path, name, small)
                has_reader = name != "torch.load"
                lines.append(
                    f"| {path.stat().st_size / MB:.0f} MB | `{name}` | {value:.3f} "
                    f"| {ratio:.1f} | {f'{max(rest, 0):.1f}' if has_reader else '1.0'} "
                    f"| {own:.0f} | {f'{reader:.0f}' if has_reader else ''} |"
                )
            path.unlink()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join([*lines, "", FOOT.format(start=start)]))
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
