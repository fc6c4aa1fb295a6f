"""Send the hostile corpus through rnp and through other scanners, and compare.

    python benchmarks/scanners.py --tools VENV/bin

The others (modelscan, picklescan, fickling) are no dependencies: they are taken from
--tools or else from PATH, and skipped where they are not installed. Each file is one
process with 4 GiB of address space and 20 seconds. The table goes to
``benchmarks/results/scanners.md``, the data beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
sys.path += [str(HERE), str(HERE.parent / "tests" / "hostile")]

import torch  # noqa: E402
from control_files import CONTROLS, weights  # noqa: E402
from kinds import KINDS  # noqa: E402

from rnp_cli import __version__, read_checkpoint  # noqa: E402
from rnp_cli.errors import RnpError  # noqa: E402

SECONDS = 20
MEMORY = 4 << 30
FLAGGED, PASSED, UNREAD = "flagged", "passed", "not read"
NAMES = ("rnp", "modelscan", "picklescan", "fickling")


@dataclass(frozen=True)
class Scanner:
    """A scanner: its command, and what an exit code and the output say."""

    name: str
    version: str
    command: tuple[str, ...]
    verdict: Callable[[int, str], str]


def _rnp(code: int, output: str) -> str:
    return {0: PASSED, 2: UNREAD, 3: FLAGGED}.get(code, "crashed")


def _modelscan(code: int, output: str) -> str:
    return {0: PASSED, 1: FLAGGED, 2: "error", 3: UNREAD}.get(code, "crashed")


def _picklescan(code: int, output: str) -> str:
    if code == 0 and "Scanned files: 0" in output:
        return UNREAD
    return {0: PASSED, 1: FLAGGED, 2: "error"}.get(code, "crashed")


def _fickling(code: int, output: str) -> str:
    last = output.strip().splitlines()[-1:]
    said = {"safe": PASSED, "nothing to read": UNREAD}
    said |= {verdict: verdict for verdict in (FLAGGED, "error")}
    return said.get(last[0], "crashed") if code == 0 and last else "crashed"


def scanners(tools: Path | None) -> list[Scanner]:
    """Find those that are installed; say which are not."""
    own = (sys.executable, "-m", "rnp_cli", "scan")
    found = [Scanner("rnp", __version__, own, _rnp)]
    for name, verdict in zip(
        NAMES[1:], (_modelscan, _picklescan, _fickling), strict=True
    ):
        program = shutil.which(name, path=str(tools) if tools else None)
        if program is None:
            print(f"{name} is not installed: skipped", file=sys.stderr)
            continue
        python = str(Path(program).with_name("python"))
        script = str(HERE / "fickling_verdict.py")
        command = (python, script) if name == "fickling" else (program, "-p")
        found.append(Scanner(name, version(python, name), command, verdict))
    return found


def version(python: str, name: str) -> str:
    """Ask the interpreter beside a program for the version of its package."""
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    asked = [python, "-c", code]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "?"


def judge(scanner: Scanner, path: Path, marker: Path) -> str:
    """Run one scanner on one file."""
    process = subprocess.Popen(
        [*scanner.command, str(path)],
        cwd=path.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    try:
        output = process.communicate(timeout=SECONDS)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "timed out"
    if marker.exists():
        return "EXECUTED"
    if process.returncode < 0 or "Traceback (most recent" in output:
        return "crashed"
    return scanner.verdict(process.returncode, output)


def hostile_rows(found: list[Scanner], jobs: int) -> list[dict[str, str]]:
    """Judge each kind by each scanner, with files of its own for each."""

    def row(index: int) -> dict[str, str]:
        kind = KINDS[index]
        cells = {"kind": f"{kind.number}", "file": kind.name}
        for scanner in found:
            with tempfile.TemporaryDirectory() as name:
                folder, marker = Path(name) / "files", Path(name) / "marker"
                folder.mkdir()
                path = kind.make(folder, marker)
                cells[scanner.name] = judge(scanner, path, marker)
        return cells

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(row, range(len(KINDS))))


def control_rows(found: list[Scanner]) -> list[dict[str, str]]:
    """Judge sound files, and say whether rnp gets their weights bit for bit."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for title, make in CONTROLS.items():
            path = Path(name) / f"{title.replace(' ', '-')}.pt"
            with warnings.catch_warnings(action="ignore"):
                make(path)
            cells = {"file": title}
            cells |= {s.name: judge(s, path, Path(name) / "marker") for s in found}
            rows.append(cells | {"weights by rnp": recovered(path)})
    return rows


def recovered(path: Path) -> str:
    """Compare what rnp reads with what was saved."""
    try:
        got = read_checkpoint(path).state_dict
    except RnpError as error:
        return f"no: {error.message}"
    wanted = weights()
    same = set(got) == set(wanted) and all(
        torch.equal(got[name], value) for name, value in wanted.items()
    )
    return "all, bit for bit" if same else "others"


def table(rows: list[dict[str, str]]) -> list[str]:
    """Write rows as Markdown."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *(list(row.values()) for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def counts(rows: list[dict[str, str]], found: list[Scanner]) -> list[dict[str, str]]:
    """Count the verdicts of each scanner."""
    tallies = {s.name: Counter(row[s.name] for row in rows) for s in found}
    verdicts = sorted({v for tally in tallies.values() for v in tally})
    return [
        {"scanner": f"{s.name} {s.version}"}
        | {verdict: str(tallies[s.name][verdict]) for verdict in verdicts}
        for s in found
    ]


def main() -> None:
    """Run everything and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tools", type=Path, help="folder of the other programs")
    parser.add_argument("--jobs", type=int, default=1, help="files at once")
    options = parser.parse_args()
    found = scanners(options.tools and options.tools.absolute())
    hostile = hostile_rows(found, options.jobs)
    controls = control_rows(found)
    text = "\n".join(
        [
            "# Scanners on hostile files",
            "",
            f"`benchmarks/scanners.py`, {len(hostile)} files of 36 kinds. *flagged*: "
            "refused by rnp, or reported as dangerous; *passed*: reported as free of "
            "issues; *error*: the scanner says that it failed; *not read*: it says "
            "that there was nothing to scan. "
            f"Each run has {SECONDS} s and {MEMORY >> 30} GiB.",
            "",
            "Many kinds are malformed and hold no code: a scanner for code may pass "
            "them by design, and whoever loads them meets them next. fickling flags "
            "every import from outside the standard library, and so each PyTorch "
            "checkpoint: see the sound files below.",
            "",
            *table(counts(hostile, found)),
            "",
            *table(hostile),
            "",
            "## Sound but unusual files",
            "",
            *table(controls),
        ]
    )
    RESULTS.mkdir(exist_ok=True)
    data = {
        "versions": {scanner.name: scanner.version for scanner in found},
        "hostile": hostile,
        "controls": controls,
    }
    (RESULTS / "scanners.json").write_text(json.dumps(data, indent=1) + "\n")
    (RESULTS / "scanners.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
