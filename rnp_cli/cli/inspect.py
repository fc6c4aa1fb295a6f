"""``rnp inspect``: show the report of a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.errors import UsageError


@guarded
def inspect(
    file: Annotated[
        Path, typer.Argument(help="A report (.report.json), or a sanitized model.")
    ],
    output_format: Annotated[
        Literal["table", "json"],
        typer.Option("--format", help="How the report is printed."),
    ] = "table",
) -> None:
    """Show the report of a run again, from its JSON or from the sanitized model.

    Example: rnp inspect model.sanitized.safetensors
    """
    from rnp_cli.cli.show import show
    from rnp_cli.report.find import read_report, report_of_model
    from rnp_cli.report.terminal import render

    if not file.exists():
        raise UsageError(f"There is no file {file}.", hint="Check the path.")
    if file.suffix == ".safetensors":
        from rnp_cli.checkpoints.header import read_safetensors_metadata

        report = report_of_model(file, read_safetensors_metadata(file))
    elif file.suffix == ".onnx":
        from rnp_cli.checkpoints.onnx_metadata import read_onnx_metadata

        report = report_of_model(file, read_onnx_metadata(file))
    else:
        report = read_report(file)
    show(report, output_format, render)
