"""Feed mutated model files to the reader: it reads or refuses, and nothing else.

    make fuzz COUNT=100000

Most files go to the function that the reader's process runs, in this process; some go
through the process itself. A file that raises anything but a refusal, or takes longer
than it may, is kept in ``build/fuzz`` and the exit code is 1. What is read without a
refusal is handed over a second time, and must pass the checks of the parent.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests" / room) for room in ("hostile", "checkpoints", "fuzz")]

from mutations import Seed, describe, mutated, seeds  # noqa: E402

from rnp_cli.checkpoints import scan_file  # noqa: E402
from rnp_cli.checkpoints.anonymous_file import anonymous_file  # noqa: E402
from rnp_cli.checkpoints.answer import read_answer  # noqa: E402
from rnp_cli.checkpoints.examine import examine  # noqa: E402
from rnp_cli.checkpoints.limits import DEFAULT_LIMITS  # noqa: E402
from rnp_cli.checkpoints.sniff import Kind, sniff  # noqa: E402
from rnp_cli.checkpoints.source import open_regular  # noqa: E402
from rnp_cli.checkpoints.tensors import map_tensors  # noqa: E402
from rnp_cli.errors import InputRefused  # noqa: E402

SECONDS = 5.0  # for one file
KEPT = ROOT / "build" / "fuzz"


class TooSlow(Exception):
    """A file took longer than it may."""


@contextmanager
def bounded() -> Iterator[None]:
    """Raise TooSlow in here when the time is up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def outcome(path: Path) -> str:
    """Read in this process, as the reader's process would."""
    try:
        with open_regular(path, DEFAULT_LIMITS) as file:
            found = examine(file, path.suffix, DEFAULT_LIMITS)
            if found.scan.refusal is not None:
                return "refused"
            with anonymous_file() as tensors, anonymous_file() as answer:
                found = examine(file, path.suffix, DEFAULT_LIMITS, tensors)
                answer.write(json.dumps(dataclasses.asdict(found)).encode())
                is_graph = sniff(file) is Kind.ONNX
                sound, _ = read_answer(answer, DEFAULT_LIMITS, wants_graph=is_graph)
                map_tensors(tensors, sound, DEFAULT_LIMITS)
        return "read as ONNX" if is_graph else "read"
    except InputRefused as refusal:
        return "answer not sound" if "process" in refusal.message else "refused"
    except MemoryError:
        return "refused for memory"
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return "refused for memory"
        raise


def through_process(path: Path) -> str:
    """Read as the command does."""
    scan = scan_file(path)
    if scan.refusal is None:
        return "read"
    return "died" if "process that reads" in scan.refusal.message else "refused"


def keep(seed: Seed, number: int) -> Path:
    """Save a file that broke something."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{number}{seed.suffix}"
    path.write_bytes(seed.content)
    return path


def limit_memory() -> None:
    """Give the whole run a gibibyte beside what it has mapped by now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + (1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def main() -> int:
    """Run, print counts, and fail where anything but a refusal came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    seen: Counter[str] = Counter()
    slowest, slowest_file, started = 0.0, "", time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = seeds(folder)
        limit_memory()
        total = options.count + options.processes
        for number in range(total):
            seed = mutated(dice.choice(corpus), dice.choice(corpus), dice)
            path = folder / f"model{seed.suffix}"
            path.write_bytes(seed.content)
            inside = number < options.count
            began = time.monotonic()
            try:
                with bounded():
                    result = outcome(path) if inside else through_process(path)
            except Exception as error:  # noqa: BLE001 - any is what is looked for
                result = f"BROKEN by {type(error).__name__}"
                print(f"{keep(seed, number)}: {result}", file=sys.stderr)
                traceback.print_exc(limit=-3)
            seen[f"{'in' if inside else 'through'} process: {result}"] += 1
            took = time.monotonic() - began
            if took > slowest:
                slowest, slowest_file = took, describe(seed)
            if (number + 1) % 20_000 == 0:
                print(f"{number + 1:,} of {total:,}", file=sys.stderr, flush=True)
        executed = (folder / "marker").exists()
    for result, count in sorted(seen.items()):
        print(f"{count:>9,}  {result}")
    print(f"slowest file: {slowest:.2f} s {slowest_file}")
    print(f"payloads run: {int(executed)}; {time.monotonic() - started:.0f} s in all")
    return int(executed or any("BROKEN" in result for result in seen))


if __name__ == "__main__":
    sys.exit(main())
