"""Which files of the project decide what a method does."""

from __future__ import annotations

import ast
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
TOOL = BENCHMARKS.parent / "rnp_cli"
_HOME = {"baselines": BENCHMARKS}
# Rooms of the tool that show, attest or check what others decided.
_AFTERWARDS = ("cli", "provenance", "report", "scanning", "verifying")


def tool_sources() -> list[Path]:
    """Return all of the tool that decides what a run gives."""
    return sorted(
        file
        for file in TOOL.rglob("*.py")
        if file.relative_to(TOOL).parts[0] not in _AFTERWARDS
    )


def sources_of(file: Path) -> list[Path]:
    """Return a baseline's file, and those of the baselines that it imports.

    What it borrows of the tool (samples, masks, scores) is not among them: tests hold
    how that behaves, and hours of baselines are not run again for each change of it.
    A package's ``__init__`` counts where a module is imported from the package itself.
    """
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(_imported(current))
    return sorted(found)


def _imported(file: Path) -> list[Path]:
    files = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        home = _HOME.get(node.module.partition(".")[0])
        if home is None:
            continue
        place = home.joinpath(*node.module.split("."))
        inside = [place / f"{alias.name}.py" for alias in node.names]
        modules = [part for part in inside if part.exists()]
        files += modules or [place.with_suffix(".py"), place / "__init__.py"]
    return [known for known in files if known.exists()]
