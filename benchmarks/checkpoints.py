"""Run `rnp sanitize` by its defaults on a folder of measurable checkpoints.

    python benchmarks/checkpoints.py DATA --seeds 0 1 2

DATA holds checkpoint files, ``architectures.py`` and ``measure.py`` with a table CASES;
``measure.py`` measures clean accuracy (CA) and attack success rate (ASR) of a case, and
writes 500 clean images of it. The command sees the checkpoint and those images alone;
``--arch`` is given only where the command itself asks for it. CA and ASR are measured
afterwards, on test images, and change nothing.

Each run is kept as one JSON file in the work folder and not repeated while the code
stays the same, so an interrupted benchmark goes on where it stopped. The table is
written to ``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.util
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
TEST_IMAGES = 2000
REFUSED = 3


@dataclass(frozen=True)
class Case:
    """One checkpoint, and the factory that builds its network."""

    name: str
    file: Path
    arch: str


def read_cases(data: Path) -> list[Case]:
    """Read the table CASES of ``measure.py``."""
    script = data / "measure.py"
    spec = importlib.util.spec_from_file_location("measure", script)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{script} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["measure"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    factories = data / "architectures.py"
    return [
        Case(name, data / case.file, f"{factories}:{case.factory.__name__}")
        for name, case in module.CASES.items()
    ]


def measure(data: Path, case: Case, weights: Path | None) -> dict[str, float]:
    """Return clean_accuracy and, where there is a trigger, attack_success_rate."""
    command = [sys.executable, data / "measure.py", "--images", str(TEST_IMAGES)]
    command += [case.name, *([weights] if weights else [])]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    values: dict[str, float] = json.loads(printed)
    return values


def sanitize(
    case: Case, clean: Path, output: Path, seed: int
) -> tuple[int, float, str, str]:
    """Run the command; return its exit code, seconds, stderr and the --arch given."""
    command = ["rnp", "sanitize", case.file, "--clean-dir", clean, "--seed", str(seed)]
    command = [sys.executable, "-m", "rnp_cli", *command[1:], "-o", output, "--force"]
    for arch in ("", case.arch):
        start = time.perf_counter()
        full = [*command, *(["--arch", arch] if arch else [])]
        done = subprocess.run(full, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode != REFUSED or "--arch" not in done.stderr:
            break
    return done.returncode, seconds, done.stderr, arch.rpartition("/")[2]


def run(data: Path, case: Case, seed: int, work: Path) -> dict[str, Any]:
    """Sanitize and measure one case, or read what an earlier run found."""
    kept = work / f"{case.name}-{seed}.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        if found["code"] == code_digest():
            return found
    clean = work / "clean" / case.name
    output = work / f"{case.name}-{seed}.sanitized.safetensors"
    report_file = work / f"{case.name}-{seed}.report.json"
    for stale in (output, report_file):
        stale.unlink(missing_ok=True)
    code, seconds, errors, arch = sanitize(case, clean, output, seed)
    report = json.loads(report_file.read_text()) if report_file.exists() else None
    result = {
        "case": case.name,
        "seed": seed,
        "code": code_digest(),
        "arch": arch,
        "exit_code": code,
        "seconds": round(seconds, 1),
        "before": measure(data, case, None),
        "after": measure(data, case, output) if output.exists() else None,
        "pruned": len(report["pruned"]) if report else None,
        "channels": report["model"]["channels"] if report else None,
        "target": report["target"]["target"] if report else None,
        "share": report["target"]["share"] if report else None,
        "outcome": report["outcome"] if report else first_line(errors),
    }
    kept.write_text(json.dumps(result, indent=2) + "\n")
    print(row(result), flush=True)
    return result


@functools.cache
def code_digest() -> str:
    """Return a digest of the tool's own code, so that an old run is run again."""
    digest = hashlib.sha256()
    for file in sorted((RESULTS.parents[1] / "rnp_cli").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def first_line(errors: str) -> str:
    """Return what an error panel says first."""
    if not errors.strip():
        return "died without a word"
    text = [line.strip("│ ") for line in errors.splitlines() if line.startswith("│")]
    return text[0] if text else errors.strip().splitlines()[-1]


HEADER = (
    "| case | seed | exit | s | pruned | CA before | CA after | ASR before "
    "| ASR after | suspected target | outcome | --arch |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def row(result: dict[str, Any]) -> str:
    """Return one line of the table."""
    before, after = result["before"], result["after"] or {}
    pruned = "–"
    if result["pruned"] is not None:
        pruned = f"{result['pruned']} of {result['channels']}"
    target = "–"
    if result["target"] is not None:
        target = f"{result['target']} ({result['share']:.2f})"
    cells = [
        result["case"],
        result["seed"],
        result["exit_code"],
        round(result["seconds"]),
        pruned,
        share(before.get("clean_accuracy")),
        share(after.get("clean_accuracy")),
        share(before.get("attack_success_rate")),
        share(after.get("attack_success_rate")),
        target,
        result["outcome"],
        result["arch"] or "–",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def share(value: float | None) -> str:
    """Format a share, or its absence."""
    return "–" if value is None else f"{value:.3f}"


def main() -> None:
    """Run all cases, then write the table and its data."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of checkpoints and measure.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", help="cases whose name holds this")
    parser.add_argument("--work", type=Path, default=Path("build/checkpoints"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    options = parser.parse_args()
    data = options.data.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    cases = [c for c in read_cases(data) if (options.only or "") in c.name]
    for case in cases:
        clean = options.work.resolve() / "clean" / case.name
        if not clean.exists():
            script = [sys.executable, data / "measure.py", case.name]
            subprocess.run([*script, "--clean-dir", clean], check=True)
    jobs = [(case, seed) for case in cases for seed in options.seeds]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(
            pool.map(lambda job: run(data, *job, options.work.resolve()), jobs)
        )
    table = "\n".join([HEADER, *map(row, results)])
    if not options.only:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "checkpoints.json").write_text(json.dumps(results, indent=2) + "\n")
        (RESULTS / "checkpoints.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
