"""What ``rnp sanitize`` takes, and what comes of it, at two states of its code.

    git worktree add build/first COMMIT
    python benchmarks/versions.py --versions build/first . --checkpoints DATA
    python benchmarks/versions.py --versions build/first . --images IMAGES --only wrn

A version is a folder that holds ``rnp_cli``. Each sanitizes the same checkpoint with
the same clean images in turn, by its defaults, from the command line, so that start-up
counts. The architecture of other people's checkpoints is named, since a version may not
find it; what is in such a module, dropout for one, then has a part in it. Ratios are of
seconds computed, all threads together, which a busy machine hardly lengthens. Writes a
table and its data.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from defense import add_options, find_subjects, results_file
from harness.result import Shares, publish, shown
from harness.tool import write_images
from pydantic import BaseModel, ConfigDict
from subjects import Subject


class Sanitized(BaseModel):
    """One run of one version.

    version: which of the versions, from 0. code: the exit code. seconds: on the wall;
    cpu_seconds: all threads together. after: None where no model was written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    subject: str
    code: int
    seconds: float
    cpu_seconds: float
    before: Shares
    after: Shares | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both versions on all models in turn, then write the table and its data."""
    options = _options(arguments)
    work = options.work.resolve()
    runs: list[Sanitized] = []
    for subject in find_subjects(options):
        before = _measure(subject)
        clean = write_images(
            subject.clean_samples(options.samples, 0), work / f"{subject.name}.clean"
        )
        for number, version in enumerate(options.versions):
            runs.append(_run(number, version, subject, before, clean, work))
            print(_line(runs[-1]), flush=True)
    data = results_file(options, "versions")
    page = render(runs)
    publish(data, runs, page)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--versions", type=Path, nargs=2, required=True)
    add_options(parser, Path("build/versions"))
    parser.add_argument("--samples", type=int, default=500)
    return parser.parse_args(arguments)


def _run(
    number: int,
    version: Path,
    subject: Subject,
    before: Shares,
    clean: Path,
    work: Path,
) -> Sanitized:
    """Run the command line of a version; the architecture is always named."""
    output = work / f"{subject.name}-{number}.safetensors"
    output.unlink(missing_ok=True)
    command = [sys.executable, "-m", "rnp_cli", "sanitize", str(subject.file.resolve())]
    command += ["--clean-dir", str(clean), "--output", str(output), "--force"]
    command += ["--device", "cpu", *(["--arch", subject.arch] if subject.arch else [])]
    env = {k: v for k, v in os.environ.items() if not k.startswith("RNP_")}
    env["PYTHONPATH"] = str(version.resolve())
    began, computed = time.perf_counter(), _computed()
    ended = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True)
    seconds, cpu_seconds = time.perf_counter() - began, _computed() - computed
    if ended.returncode not in (0, 1):
        print(ended.stderr, file=sys.stderr)
    return Sanitized(
        version=number,
        subject=subject.name,
        code=ended.returncode,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        before=before,
        after=_measure(subject, output) if output.exists() else None,
    )


def _computed() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _measure(subject: Subject, weights: Path | None = None) -> Shares:
    measured = subject.measure(subject.network(weights))
    return Shares(
        clean_accuracy=measured.clean_accuracy,
        attack_success_rate=measured.attack_success_rate,
    )


def _line(run: Sanitized) -> str:
    return (
        f"{run.subject}, version {run.version}: CA/ASR {shown(run.before)} -> "
        f"{shown(run.after)}, exit code {run.code}, {run.seconds:.0f} s, "
        f"{run.cpu_seconds:.0f} s of CPU"
    )


def render(runs: Sequence[Sanitized]) -> str:
    """Return the page: a row for each model."""
    lines = [
        "# Two versions",
        "",
        "Cells are CA / ASR on test images, with the exit code where it is not 0. "
        "Seconds are of CPU, start-up included, and their ratio is of the second "
        "version to the first.",
        "",
        "| model | before | first | second | seconds, first | second | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, _pairs(runs))]) + "\n"


def _pairs(runs: Sequence[Sanitized]) -> Iterator[tuple[Sanitized, Sanitized]]:
    seconds = {run.subject: run for run in runs if run.version == 1}
    for run in runs:
        if run.version == 0:
            yield run, seconds[run.subject]


def _row(pair: tuple[Sanitized, Sanitized]) -> str:
    first, second = pair
    results = [
        shown(run.after) + (f" ({run.code})" if run.code else "") for run in pair
    ]
    took = [f"{run.cpu_seconds:.0f}" for run in pair]
    ratio = f"{second.cpu_seconds / first.cpu_seconds:.2f}"
    cells = [first.subject, shown(first.before), *results, *took, ratio]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
