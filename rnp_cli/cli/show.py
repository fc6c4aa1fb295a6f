"""Print a report to stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.text import Text

from rnp_cli.report.plain import plain

R = TypeVar("R", bound=BaseModel)


def show(
    report: R,
    output_format: Literal["table", "json"],
    render: Callable[[R], RenderableType],
    *,
    written: Iterable[Path] = (),
) -> None:
    """Print ``report``, and what was written, in the format asked for."""
    if output_format == "json":
        sys.stdout.write(report.model_dump_json(indent=2) + "\n")
        return
    console = Console()
    console.print(render(report))
    for path in written:
        console.print(Text(f"Wrote {plain(str(path))}"), soft_wrap=True)
