from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from dying import run_and_die, run_and_die_writing

MOMENTS = [
    ("StageStarted", "read"),
    ("StageStarted", "samples"),
    ("StepDone", "unlearn"),
    ("StepDone", "recover"),
    ("StepDone", "prune"),
    ("StageDone", "prune"),
]


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that find torch, and what its optimizers import, there already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rnp_cli.pipeline", "torch._dynamo"])
    return context


@pytest.fixture
def args(digits: Any) -> list[str]:
    clean = str(digits.clean)
    return ["sanitize", str(digits.model), "--clean-dir", clean, "--device", "cpu"]


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "log")


@pytest.mark.parametrize(("kind", "stage"), MOMENTS)
def test_a_run_killed_in_a_stage_leaves_nothing(
    processes: ForkServerContext,
    args: list[str],
    tmp_path: Path,
    kind: str,
    stage: str,
) -> None:
    process = processes.Process(target=run_and_die, args=(args, tmp_path, kind, stage))

    process.start()
    process.join(60)

    assert process.exitcode == -signal.SIGKILL
    assert left_behind(tmp_path) == []


def test_a_run_killed_while_it_writes_leaves_no_output(
    processes: ForkServerContext, args: list[str], digits: Any, tmp_path: Path
) -> None:
    process = processes.Process(target=run_and_die_writing, args=(args, tmp_path))

    process.start()
    process.join(60)

    assert process.exitcode == -signal.SIGKILL
    assert "Choose what to prune" in (tmp_path / "log").read_text(encoding="utf-8")
    [only] = left_behind(tmp_path)  # what was being written, under no output's name
    assert only.startswith(".rnp-")
    assert only.endswith(".tmp")


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_a_signal_from_outside_leaves_nothing(
    args: list[str], tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "rnp_cli", *args]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        # A runner in the background may have been told to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Load clean samples" in line:  # and now it unlearns
                process.send_signal(sent)
                break
        rest = process.stderr.read()

    assert process.returncode == code
    assert "Unlearn" not in rest
    assert "Traceback" not in rest
    assert left_behind(tmp_path) == []
