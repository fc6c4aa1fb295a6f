"""Print a report to stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.text import Text

from rnp_cli.report import words
from rnp_cli.report.plain import plain, without_commands
from rnp_cli.report.sanitization import Report
from rnp_cli.report.schema import as_json

R = TypeVar("R", bound=BaseModel)


def show(
    report: R,
    output_format: str,
    render: Callable[[R], RenderableType],
    *,
    formats: Mapping[str, Callable[[R], str]] | None = None,
    written: Iterable[Path] = (),
) -> None:
    """Print ``report``, and what was written, in the format asked for.

    output_format: "table", "json", or one of ``formats``.
    """
    if output_format != "table":
        write = (formats or {}).get(output_format, as_json)
        sys.stdout.write(write(report))
        return
    console = Console()
    with console.capture() as printed:
        console.print(render(report))
    sys.stdout.write(without_commands(printed.get()))
    tell_written(written)


def tell_policy(report: Report) -> None:
    """Say on stderr which rules are broken, and which may be for now."""
    console = Console(stderr=True)
    for breach in report.breaches:
        told = f"Policy: {breach.said}."
        if breach.accepted is not None:
            told = f"Accepted {words.accepted(breach)}."
        console.print(Text(plain(told)), soft_wrap=True)


def tell_written(paths: Iterable[Path]) -> None:
    """Print where files are now."""
    console = Console()
    for path in paths:
        console.print(Text(f"Wrote {plain(str(path))}"), soft_wrap=True)
