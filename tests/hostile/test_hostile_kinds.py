"""Every kind of hostile input through the real command: refused, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kinds import DANGEROUS, KINDS, Kind
from panel import read_panel
from sample_folders import SAMPLES

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and links")
Rnp = Callable[..., Any]
SECONDS = 20
GIBIBYTE = 1 << 20  # in the kibibytes that resource counts, here


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "files"
    path.mkdir()
    return path


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Time, and the memory of this process and of those that it started."""
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIBIBYTE
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < GIBIBYTE


def listing(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_all_kinds_are_there() -> None:
    assert {kind.number for kind in KINDS} == set(range(1, 37))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_sanitize_refuses(
    kind: Kind, rnp: Rnp, digits: Any, folder: Path, marker: Path, tmp_path: Path
) -> None:
    path = kind.make(folder, marker)
    before = listing(tmp_path)

    run = rnp("sanitize", path, "--clean-dir", digits.clean)

    assert run.code == 3
    assert run.out == ""
    assert read_panel(run.err).title == "Input refused"
    assert listing(tmp_path) == before


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_scan_refuses(
    kind: Kind, rnp: Rnp, folder: Path, marker: Path, tmp_path: Path
) -> None:
    path = kind.make(folder, marker)
    before = listing(tmp_path)

    run = rnp("scan", path)

    assert run.code == kind.scan_code
    if kind.scan_code == 3:
        assert read_panel(run.out).title == "Refused"
        assert run.err == ""
    assert listing(tmp_path) == before


def peak(*arguments: object, folder: Path) -> tuple[int, int, str]:
    """Run a Python process; its exit code, its peak memory and what it printed.

    The memory is the most that it or a process it waited for had, in kibibytes.
    """
    output = folder.with_name("output")
    command = [sys.executable, *map(str, arguments)]
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text(encoding="utf-8")
    output.unlink()
    return process.returncode, usage.ru_maxrss, text


DANGEROUS_KINDS = [kind for kind in KINDS if kind.number in DANGEROUS]


@pytest.mark.parametrize("kind", DANGEROUS_KINDS, ids=str)
def test_a_process_of_its_own_stays_small(
    kind: Kind, folder: Path, marker: Path, tmp_path: Path
) -> None:
    path = kind.make(folder, marker)
    before = listing(tmp_path)
    _, bare, _ = peak("-c", "", folder=folder)

    code, memory, shown = peak("-m", "rnp_cli", "scan", path, folder=folder)

    assert code == kind.scan_code
    assert "Traceback" not in shown
    assert memory - bare < GIBIBYTE
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", SAMPLES)
def test_unsuitable_samples_are_refused(
    name: str, rnp: Rnp, digits: Any, folder: Path, tmp_path: Path
) -> None:
    clean = folder / "clean"
    SAMPLES[name](digits.clean, clean)
    before = listing(tmp_path)

    run = rnp("sanitize", digits.model, "--clean-dir", clean)

    assert run.code == 3
    assert read_panel(run.err[run.err.index("╭") :]).title == "Input refused"
    assert listing(tmp_path) == before
