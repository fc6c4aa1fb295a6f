"""How the whole program ends: what the system refuses, what does not parse, Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FULL = Path("/dev/full")


def run_alone(*args: str, stdout: Any = subprocess.PIPE, **env: str) -> Any:
    """Run ``rnp`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "rnp_cli", *args],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "", **env},
    )


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a disk that is full")
@pytest.mark.parametrize(
    "command",
    [("schema", "verify"), ("scan", __file__), ("--version",), ("scan", "--help")],
)
def test_a_full_disk_behind_the_output_is_no_bug(command: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        ended = run_alone(*command, stdout=full)

    assert ended.returncode == 2
    assert "The output could not be written: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize(
    "command", [("schema", "verify"), ("scan", __file__), ("scan", "--help")]
)
def test_a_reader_that_has_gone_is_no_failed_policy(command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = run_alone(*command, stdout=writing)
    finally:
        os.close(writing)

    assert (ended.returncode, ended.stderr) == (141, "")


def test_without_an_output_nothing_is_printed() -> None:
    closed = ["sh", "-c", f"{sys.executable} -m rnp_cli schema verify >&-"]

    ended = subprocess.run(closed, capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("command", [("inspect",), ("detect", "--clean-dir", ".")])
def test_a_name_that_is_too_long_is_no_bug(rnp: Any, command: tuple[str, ...]) -> None:
    run = rnp(*command, f"{'n' * 5000}.json")

    assert run.code == 2
    assert "File name too long." in run.err
    assert "Traceback" not in run.err


def test_a_job_is_told_what_the_system_refuses(rnp: Any) -> None:
    run = rnp("sanitize", f"{'n' * 5000}.pt", "--clean-dir", ".", "--ci")

    assert run.code == 2
    assert run.err.startswith("error: rnp: ")
    assert "File name too long." in run.err.splitlines()[0]


@pytest.mark.parametrize(
    "bug", [OSError("of our own"), FileNotFoundError(2, "no"), EOFError("of Click")]
)
def test_other_errors_are_bugs(
    rnp: Any, monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    def fail(path: Path) -> bool:
        raise bug

    monkeypatch.setattr(Path, "exists", fail)

    run = rnp("inspect", "report.json")

    assert run.code == 2
    assert "Traceback" in run.err
    assert "This is a bug in rnp" in run.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--seed", "x"), "Invalid value for '--seed'"),
        (("--clean",), "No such option: --clean"),
        ((), "Missing option '--clean-dir'"),
    ],
)
def test_a_job_is_told_of_options_that_do_not_parse(
    args: tuple[str, ...], said: str
) -> None:
    ended = run_alone(
        "sanitize", "model.pt", "--ci", *args, GITHUB_ACTIONS="true", FORCE_COLOR="1"
    )

    assert ended.returncode == 2
    assert f"::error title=rnp::{said}" in ended.stderr
    assert "\x1b" not in ended.stderr


def test_help_is_no_error_of_a_job() -> None:
    ended = run_alone("sanitize", "--ci", "--help", GITHUB_ACTIONS="true")

    assert ended.returncode == 0
    assert "::error" not in ended.stderr


def test_help_says_what_options_take_and_not_their_types() -> None:
    for command in ("sanitize", "detect", "trigger", "filter", "inspect", "scan"):
        usage, _, options = run_alone(command, "--help").stdout.partition("─ Options")
        assert "{MODEL}" in usage or "{FILE}" in usage
        assert "list[" not in options
        assert options.count("<bool>") == 1  # Typer's own --help


def test_who_interrupts_the_start_is_shown_no_traceback() -> None:
    """Imports take most of the time in which nothing is shown yet."""
    code = (
        "import sys\n"
        "class Slow:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Slow())\n"
        "sys.argv = ['rnp', 'scan', 'model.pt']\n"
        "from rnp_cli.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 130
    assert ended.stderr == "Interrupted.\n"
