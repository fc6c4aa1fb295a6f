"""``rnp verify``: whether a sanitized model and the files beside it agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.cli.parameters import ReportFormat
from rnp_cli.errors import ExitCode


@guarded
def verify(
    model: Annotated[Path, typer.Argument(help="A model that rnp sanitize wrote.")],
    report: Annotated[
        Path | None,
        typer.Option(help="Its report.  \\[default: the one that MODEL names]"),
    ] = None,
    statement: Annotated[
        Path | None,
        typer.Option(help="Its statement.  \\[default: the report's stem.intoto.json]"),
    ] = None,
    bom: Annotated[
        Path | None,
        typer.Option(help="Its BOM.  \\[default: the report's stem.cdx.json]"),
    ] = None,
    output_format: ReportFormat = "table",
) -> None:
    """Check that MODEL, its report, its statement and its BOM belong together.

    Every digest that one of them holds of another is compared: ok, differs, or missing.
    Nothing in the files is executed. The files are not signed, so that they agree does
    not show who made them: sign the statement for that.

    Exit code 1 where anything differs or is missing, 3 where a file is refused.

    Example: rnp verify model.sanitized.safetensors
    """
    from rnp_cli.cli.show import show
    from rnp_cli.report.verification_terminal import render_verification
    from rnp_cli.verifying import verify as run

    verification = run(model, report=report, statement=statement, bom=bom)
    show(verification, output_format, render_verification)
    if not verification.agrees:
        raise typer.Exit(ExitCode.POLICY)
