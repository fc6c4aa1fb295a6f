"""Draw ``run.svg`` and ``report*.png``: what ``rnp sanitize`` says of this model.

    python examples/digits/picture.py

The command is really run, in a temporary folder; Rich draws what it printed, and
Chromium, where it is installed, the top of its report as a page, light and dark.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent
COLUMNS = 96
PAGE = "1100,1620"  # pixels
SCHEMES = {"report-dark.png": 0, "report.png": 1}  # as Chromium numbers them


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
        _draw_page(Path(folder))
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.assemble(("$ ", "bold green"), f"rnp {' '.join(arguments)}"))
    console.print(Text.from_ansi(done.stdout))
    console.save_svg(str(HERE / "run.svg"), title="rnp sanitize")


def _draw_page(folder: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        return
    page = ["inspect", "model.report.json", "-o", "page.html"]
    subprocess.run([sys.executable, "-m", "rnp_cli", *page], cwd=folder, check=True)
    for name, scheme in SCHEMES.items():
        subprocess.run(
            [
                browser,
                *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                f"--blink-settings=preferredColorScheme={scheme}",
                f"--screenshot={HERE / name}",
                f"--window-size={PAGE}",
                (folder / "page.html").as_uri(),
            ],
            stderr=subprocess.DEVNULL,
            check=True,
        )


if __name__ == "__main__":
    main()
