"""Print a report to stdout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from rnp_cli.report.plain import plain
from rnp_cli.report.schema import Report
from rnp_cli.report.terminal import render
from rnp_cli.report.triggers import TriggerReport
from rnp_cli.report.triggers_terminal import render_triggers


def show_report(
    report: Report, output_format: Literal["table", "json"], written: tuple[Path, ...]
) -> None:
    """Print ``report``, and where it was written, in the format asked for."""
    if output_format == "json":
        sys.stdout.write(report.model_dump_json(indent=2) + "\n")
        return
    console = Console()
    console.print(render(report))
    for path in written:
        console.print(Text(f"Wrote {plain(str(path))}"), soft_wrap=True)


def show_triggers(
    report: TriggerReport, output_format: Literal["table", "json"], folder: Path
) -> None:
    """Print what was recovered, and the folder that it is in."""
    if output_format == "json":
        sys.stdout.write(report.model_dump_json(indent=2) + "\n")
        return
    console = Console()
    console.print(render_triggers(report))
    console.print(Text(f"Wrote {plain(str(folder))}"), soft_wrap=True)
