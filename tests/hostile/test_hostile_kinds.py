"""Every kind of hostile input through the real command: refused, and nothing else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cost import cost_of
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
    """Time, and the memory of this process and of those that it started.

    Other tests may have started larger processes before.
    """
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    yield
    assert time.monotonic() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIBIBYTE
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert children < max(GIBIBYTE, largest + 1)


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


DANGEROUS_KINDS = [kind for kind in KINDS if kind.number in DANGEROUS]


@pytest.mark.parametrize("kind", DANGEROUS_KINDS, ids=str)
def test_a_process_of_its_own_stays_small(
    kind: Kind, folder: Path, marker: Path, tmp_path: Path
) -> None:
    path = kind.make(folder, marker)
    before = listing(tmp_path)
    bare = cost_of("-c", "", folder=folder)

    cost = cost_of("-m", "rnp_cli", "scan", path, folder=folder)

    assert cost.code == kind.scan_code
    assert read_panel(cost.shown[cost.shown.index("╭") :])
    assert cost.memory - bare.memory < 1 << 30
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
