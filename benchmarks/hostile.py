"""What it costs to refuse each hostile input: time and memory of the real commands.

    python benchmarks/hostile.py

Each file goes through ``rnp scan`` and ``rnp sanitize``, each in a process of its own;
each unsuitable folder of clean samples through ``rnp sanitize``. Every run must end
with its exit code and one panel with a next step, write no file and leave no marker.
Needs Linux. The table goes to ``benchmarks/results/hostile.md``.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "hostile.md"
MODEL = ROOT / "examples" / "digits" / "model.pt"
CLEAN = MODEL.with_name("clean")
sys.path.append(str(ROOT / "tests" / "hostile"))

import torch  # noqa: E402
from cost import Cost, cost_of  # noqa: E402
from kinds import KINDS, Kind  # noqa: E402
from panel import read_panel  # noqa: E402
from sample_folders import SAMPLES  # noqa: E402

SECONDS = 20
GIB = 1 << 30
MB = 1_000_000

HEAD = """\
# The cost of refusing

`benchmarks/hostile.py`: {runs} runs of the real commands on {files} hostile files of
36 kinds and {folders} unsuitable folders of clean samples. *MB* is the most memory that
the command or a process of its own had, start-up included: Python alone takes
{python:.0f} MB, Python with torch {torch:.0f} MB. The longest run took {longest:.1f} s,
and the most memory above Python's was {most:.0f} MB. {failures}

| kind | input | scan | s | MB | sanitize | s | MB |
|---|---|---|---:|---:|---|---:|---:|"""
FOOT = (
    f"\ntorch {torch.__version__}, Python {platform.python_version()}, "
    f"{os.cpu_count()} cores, {platform.system()}.\n"
)


@dataclass(frozen=True)
class Run:
    """How one run of a command ended."""

    cost: Cost
    wrong: str  # what should not have happened

    def cells(self) -> str:
        """Write it as three cells."""
        said = self.wrong or f"exit {self.cost.code}"
        return f"{said} | {self.cost.seconds:.2f} | {self.cost.memory / MB:.0f}"


def judged(command: list[str], top: Path, wanted: int, bare: int) -> Run:
    """Run a command of rnp, and say what is wrong with how it ended."""
    before = sorted(top.rglob("*"))
    cost = cost_of("-m", "rnp_cli", *command, folder=top / "files")
    wrong = []
    if cost.code != wanted:
        wrong.append(f"exit {cost.code} instead of {wanted}")
    try:
        read_panel(cost.shown[cost.shown.find("╭") :])
    except ValueError as error:
        wrong.append(str(error))
    if sorted(top.rglob("*")) != before:
        wrong.append("files were written")
    if cost.seconds > SECONDS:
        wrong.append("too long")
    if cost.memory - bare > GIB:
        wrong.append("too much memory")
    return Run(cost, "; ".join(wrong))


@contextmanager
def fresh() -> Iterator[Path]:
    """Make a folder that has a folder ``files``, for a while."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "files").mkdir()
        yield Path(name)


def scan(kind: Kind, bare: int) -> Run:
    """Scan a file of a kind."""
    with fresh() as top:
        path = kind.make(top / "files", top / "marker")
        return judged(["scan", str(path)], top, kind.scan_code, bare)


def sanitize(kind: Kind, bare: int) -> Run:
    """Sanitize a file of a kind with sound samples."""
    with fresh() as top:
        path = kind.make(top / "files", top / "marker")
        command = ["sanitize", str(path), "--clean-dir", str(CLEAN)]
        return judged(command, top, 3, bare)


def sample(name: str, bare: int) -> Run:
    """Sanitize a sound model with unsuitable samples."""
    with fresh() as top:
        folder = top / "files" / "clean"
        SAMPLES[name](CLEAN, folder)
        command = ["sanitize", str(MODEL), "--clean-dir", str(folder)]
        return judged(command, top, 3, bare)


def main() -> None:
    """Measure, and write the table."""
    python, with_torch = (
        cost_of("-c", code, folder=ROOT).memory for code in ("", "import torch")
    )
    rows: list[str] = []
    runs: list[Run] = []
    for kind in KINDS:
        runs += [scan(kind, python), sanitize(kind, python)]
        cells = " | ".join(run.cells() for run in runs[-2:])
        rows.append(f"| {kind.number} | {kind.name} | {cells} |")
    for name in SAMPLES:
        runs.append(sample(name, python))
        rows.append(f"| 36 | clean samples: {name} | | | | {runs[-1].cells()} |")
    failures = sum(bool(run.wrong) for run in runs)
    head = HEAD.format(
        runs=len(runs),
        files=len(KINDS),
        folders=len(SAMPLES),
        python=python / MB,
        torch=with_torch / MB,
        longest=max(run.cost.seconds for run in runs),
        most=(max(run.cost.memory for run in runs) - python) / MB,
        failures=f"{failures} runs ended otherwise than they must."
        if failures
        else "Every run ended as it must.",
    )
    RESULT.write_text("\n".join([head, *rows, FOOT]))
    print(RESULT.read_text())
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
