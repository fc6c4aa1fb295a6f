"""``rnp inspect``: show the report of a run again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.cli.parameters import SanitizationFormat
from rnp_cli.errors import UsageError

if TYPE_CHECKING:
    from rnp_cli.report.sanitization import Report


@guarded
def inspect(
    file: Annotated[
        Path, typer.Argument(help="A report (.report.json), or a sanitized model.")
    ],
    other: Annotated[
        Path | None,
        typer.Argument(help="Another one, to see both side by side."),
    ] = None,
    output_format: SanitizationFormat = "table",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the report to this file, in the format that its ending names: "
            ".html, .md, .sarif or .json.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an output file that exists.")
    ] = False,
) -> None:
    """Show the report of a run again, or two side by side.

    A report is its JSON, or the sanitized model that names it.

    Example: rnp inspect model.sanitized.safetensors -o report.html
    """
    from rnp_cli.cli.show import show, tell_written
    from rnp_cli.export.atomic import check_writable, write_all
    from rnp_cli.report.comparison import render_comparison
    from rnp_cli.report.formats import FORMATS, SUFFIXES
    from rnp_cli.report.terminal import render

    report = _read(file)
    if other is not None:
        if output is not None or output_format != "table":
            raise UsageError("Two reports are compared as a table, on the terminal.")
        show(report, "table", partial(render_comparison, second=_read(other)))
        return
    if output is None:
        show(report, output_format, render, formats=FORMATS)
        return
    if output.suffix not in SUFFIXES:
        raise UsageError(f"{output.name} does not end in {' or '.join(SUFFIXES)}.")
    check_writable((output,), force=force)
    content = FORMATS[SUFFIXES[output.suffix]](report)
    write_all({output: content.encode()}, force=force)
    tell_written([output])


def _read(file: Path) -> Report:
    """Read a report, or the one that a sanitized model names."""
    from rnp_cli.report.find import read_report, report_of_model

    if not file.exists():
        raise UsageError(f"There is no file {file}.", hint="Check the path.")
    if file.suffix == ".safetensors":
        from rnp_cli.checkpoints.header import read_safetensors_metadata

        return report_of_model(file, read_safetensors_metadata(file))
    if file.suffix == ".onnx":
        from rnp_cli.checkpoints.onnx_metadata import read_onnx_metadata

        return report_of_model(file, read_onnx_metadata(file))
    if file.suffix == ".pt2":
        from rnp_cli.checkpoints.torch_export_metadata import read_exported_metadata

        return report_of_model(file, read_exported_metadata(file))
    return read_report(file)
