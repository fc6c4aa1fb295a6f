from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAVY = ("torch", "numpy", "PIL", "safetensors", "onnx")
RUN = f"""
import sys
sys.argv = ["rnp", *sys.argv[1:]]
try:
    from rnp_cli.cli import main
    main()
finally:
    print("HEAVY:", *[name for name in {HEAVY} if name in sys.modules])
"""


def run(code: str, *args: object, cwd: Path) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, args)]
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["sanitize", "--help"], ["trigger", "--help"]]
)
def test_help_needs_no_torch(args: list[str], tmp_path: Path) -> None:
    out = run(RUN, *args, cwd=tmp_path)

    assert "rnp" in out
    assert out.endswith("HEAVY:\n")


@pytest.mark.parametrize("which", ["report", "model"])
def test_inspect_needs_no_torch(sanitized: Any, which: str, tmp_path: Path) -> None:
    out = run(RUN, "inspect", getattr(sanitized, which), cwd=tmp_path)

    assert "channels pruned" in out
    assert out.endswith("HEAVY:\n")


def test_verifying_a_safetensors_file_needs_no_torch(
    sanitized: Any, tmp_path: Path
) -> None:
    out = run(RUN, "verify", sanitized.model, cwd=tmp_path)

    assert "The files agree" in out
    assert out.endswith("HEAVY:\n")


def test_importing_the_package_needs_no_torch(tmp_path: Path) -> None:
    code = "import sys, rnp_cli; print(rnp_cli.__version__, 'torch' in sys.modules)"

    assert run(code, cwd=tmp_path).split()[1] == "False"


def test_the_public_names_are_there(tmp_path: Path) -> None:
    code = """
import rnp_cli
for name in rnp_cli.__all__:
    getattr(rnp_cli, name)
from rnp_cli import SanitizeRequest, sanitize
print(callable(sanitize), hasattr(rnp_cli, "nothing"))
"""

    assert run(code, cwd=tmp_path).split() == ["True", "False"]


def test_python_m_runs_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rnp_cli", "inspect", "missing.json"]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert ended.returncode == 2
    assert "missing.json" in ended.stderr
