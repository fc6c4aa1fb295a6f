"""``rnp inspect``: show the report of a run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.cli.parameters import SanitizationFormat
from rnp_cli.errors import InputRefused, UsageError

if TYPE_CHECKING:
    from rnp_cli.report.kinds import Kind


@guarded
def inspect(
    file: Annotated[
        Path,
        typer.Argument(help="A report, as JSON, of any command; or a sanitized model."),
    ],
    other: Annotated[
        Path | None,
        typer.Argument(help="Another one of rnp sanitize, to see both side by side."),
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
    model: Annotated[
        Path | None,
        typer.Option(
            envvar="RNP_MODEL",
            help="The model that rnp sanitize was given: SARIF says where it lies. A "
            "report keeps its name alone.",
        ),
    ] = None,
) -> None:
    """Show the report of a run again, or two side by side.

    A report is the JSON that a command wrote, or printed with --format json; what is in
    it tells which command that was. For a sanitized model it is the one that the model
    names. Reports of rnp sanitize have all formats, the others table and json.

    Example: rnp inspect model.sanitized.safetensors -o report.html
    """
    from rnp_cli.cli.show import show, tell_written
    from rnp_cli.export.atomic import check_writable, write_all
    from rnp_cli.report.comparison import render_comparison
    from rnp_cli.report.formats import SUFFIXES

    kind, report = _read(file)
    if other is not None:
        if output is not None or output_format != "table":
            raise UsageError("Two reports are compared as a table, on the terminal.")
        second = _comparable(*_read(other))
        comparison = partial(render_comparison, second=second)
        show(_comparable(kind, report), "table", comparison)
        return
    if output is None:
        formats = _formats(kind, report, output_format, model)
        show(report, output_format, kind.render, formats=formats)
        return
    wanted = SUFFIXES.get(output.suffix.lower())
    if wanted is None:
        raise UsageError(
            f"{output.name} is not named after a format.",
            hint=f"Let it end in {' or '.join(SUFFIXES)}, such as report.html.",
        )
    if output_format not in ("table", wanted):
        raise UsageError(
            f"{output.name} is to be {wanted}, and --format says {output_format}.",
            hint="Leave --format out: the ending names the format.",
        )
    write = _formats(kind, report, wanted, model)[wanted]
    check_writable((output,), force=force)
    write_all({output: write(report).encode()}, force=force)
    tell_written([output])


def _formats(
    kind: Kind, report: Any, wanted: str, model: Path | None
) -> Mapping[str, Callable[[Any], str]]:
    """Return the formats of a kind, the one that is wanted among them."""
    from rnp_cli.report.formats import formats_with
    from rnp_cli.report.plain import plain

    known = ("table", *kind.formats)
    if wanted not in known:
        raise UsageError(
            f"A report of rnp {kind.command} cannot be shown as {wanted}.",
            hint=f"It can be shown as {' or '.join(known)}.",
        )
    if wanted != "sarif" or model is None:
        return kind.formats
    if plain(model.name) != report.model.file:
        raise UsageError(
            f"The report is about {report.model.file}, not about {model}.",
            hint="Give --model, or RNP_MODEL, as rnp sanitize was given it.",
        )
    return formats_with(model)


def _comparable(kind: Kind, report: Any) -> Any:
    if kind.command != "sanitize":
        raise UsageError(
            f"Only reports of rnp sanitize are compared, not one of rnp {kind.command}."
        )
    return report


def _read(file: Path) -> tuple[Kind, Any]:
    """Read a report, or the one that a sanitized model names."""
    if not file.exists():
        raise UsageError(f"There is no file {file}.", hint="Check the path.")
    try:
        return _report_in(file)
    except InputRefused as error:
        if file.name not in error.message:  # it may be one of two
            error.add_note(f"This is about {file}.")
        raise


def _report_in(file: Path) -> tuple[Kind, Any]:
    from rnp_cli.report.find import report_of_model
    from rnp_cli.report.kinds import SANITIZATION, read_any_report

    if file.suffix == ".safetensors":
        from rnp_cli.checkpoints.header import read_safetensors_metadata

        return SANITIZATION, report_of_model(file, read_safetensors_metadata(file))
    if file.suffix == ".onnx":
        from rnp_cli.checkpoints.onnx_metadata import read_onnx_metadata

        return SANITIZATION, report_of_model(file, read_onnx_metadata(file))
    if file.suffix == ".pt2":
        from rnp_cli.checkpoints.torch_export_metadata import read_exported_metadata

        return SANITIZATION, report_of_model(file, read_exported_metadata(file))
    return read_any_report(file)
