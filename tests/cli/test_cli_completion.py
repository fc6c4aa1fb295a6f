"""Completion as the shells ask for it: through variables, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "numpy", "PIL", "safetensors", "onnx")
RUN = f"""
import sys
sys.argv = ["rnp"]
try:
    from rnp_cli.cli import main
    main()
finally:
    sys.stderr.write("HEAVY:" + " ".join(n for n in {HEAVY} if n in sys.modules))
"""


def complete(shell: str, line: str, folder: Path) -> str:
    """Return what a shell is told when ``line`` ends at the cursor."""
    words = line.split()
    asked = {
        "bash": {
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - (not line.endswith(" "))),
        },
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    }
    env = {**os.environ, **asked[shell], "_RNP_COMPLETE": f"complete_{shell}"}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )
    assert ended.stderr == "HEAVY:"
    return ended.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("rnp de", "detect", "sanitize"),
        ("rnp sanitize --max-a", "--max-accuracy-drop", "--max-samples"),
        ("rnp detect --labels ", "from-model", "sanitize"),
        ("rnp sanitize model.pt --config x.toml --wh", "--when", "--config"),
    ],
)
def test_commands_options_and_choices_are_completed_without_torch(
    shell: str, line: str, offered: str, not_offered: str, tmp_path: Path
) -> None:
    (tmp_path / "rnp.toml").write_text("[options]\nno-key = 1\n")  # not read for this

    told = complete(shell, line, tmp_path)

    assert offered in told
    assert not_offered not in told


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: str, tmp_path: Path) -> None:
    env = {**os.environ, "_RNP_COMPLETE": f"source_{shell}"}

    ended = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )

    assert f"_RNP_COMPLETE=complete_{shell}" in ended.stdout
    assert ended.stderr == "HEAVY:"
