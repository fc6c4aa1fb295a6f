"""``rnp scan``: what model files are and hold, without executing any of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.errors import ExitCode


@guarded
def scan(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Model files and folders. A Hugging Face folder is one model; in any "
            "other folder, and below it, every file with a model's suffix is scanned.",
        ),
    ],
    output_format: Annotated[
        Literal["table", "json"],
        typer.Option("--format", help="A table cuts long lists; JSON has them whole."),
    ] = "table",
    second_opinion: Annotated[
        bool,
        typer.Option(
            "--second-opinion",
            help="Show also what fickling, modelscan and picklescan say, as far as "
            "they are installed. They run on the files unconfined, and decide nothing.",
        ),
    ] = False,
) -> None:
    """Say what model FILES are and what is in them; nothing in them is executed.

    Shows format, digest, tensors by layer, the architecture that they fit, what the
    pickle names (gadget: known to execute code; unknown; harmless), NaN and infinite
    values, and what is no weight and would be dropped. A file that is refused is
    shown with the reason and what to do next. Findings are told, and refuse nothing.

    Exit code 3 where any file is refused or could not be read, so that 0 means that
    all of them were read whole. It does not mean that a network has no backdoor.

    Example: rnp scan model.pt downloads/
    """
    from rnp_cli.cli.show import show
    from rnp_cli.report.scan_terminal import render_scan
    from rnp_cli.scanning import scan_models

    report = scan_models(files, second_opinion=second_opinion)
    show(report, output_format, render_scan)
    if report.refused:
        raise typer.Exit(ExitCode.REFUSED)
