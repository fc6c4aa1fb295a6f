"""Draw ``run.svg``: what ``rnp sanitize`` prints for this folder's model.

    python examples/digits/picture.py

The command is really run, in a temporary folder; Rich draws what it printed.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent
COLUMNS = 96


def main() -> None:
    """Run the command and save the picture."""
    arguments = ["sanitize", "model.pt", "--clean-dir", "clean"]
    # A terminal with colors, but without animation.
    setting = {"FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(COLUMNS)}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("model.pt", "clean"):
            (Path(folder) / name).symlink_to(HERE / name)
        done = subprocess.run(
            [sys.executable, "-m", "rnp_cli", *arguments],
            cwd=folder,
            env={**os.environ, **setting},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.assemble(("$ ", "bold green"), f"rnp {' '.join(arguments)}"))
    console.print(Text.from_ansi(done.stdout))
    console.save_svg(str(HERE / "run.svg"), title="rnp sanitize")


if __name__ == "__main__":
    main()
