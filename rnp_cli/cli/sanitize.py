"""``rnp sanitize``: from a suspect checkpoint to a model without the backdoor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.cli.parameters import (
    METHOD,
    Arch,
    CleanDir,
    Device,
    InputSize,
    Labels,
    MaxSamples,
    Mean,
    ModelFile,
    ReportFormat,
    Seed,
    Std,
    ValueRange,
)
from rnp_cli.errors import ExitCode


@guarded
def sanitize(
    model: ModelFile,
    clean_dir: CleanDir,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The sanitized model, ending in .safetensors, or in .onnx for an "
            "ONNX model; the report goes beside it.  \\[default: "
            "<stem>.sanitized.safetensors or .onnx in this folder]",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace output files that exist.")
    ] = False,
    arch: Arch = None,
    labels: Labels = "folder",
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=99,
            rich_help_panel=METHOD,
            help="Points of clean accuracy that pruning may cost.  \\[default: 2]",
        ),
    ] = None,
    max_samples: MaxSamples = 2000,
    config: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=METHOD,
            help="TOML file with knobs of the stages, in the tables unlearn, "
            "recover and threshold.",
        ),
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    input_size: InputSize = None,
    value_range: ValueRange = None,
    mean: Mean = None,
    std: Std = None,
    output_format: ReportFormat = "table",
) -> None:
    """Remove the backdoor of MODEL: unlearn, recover, prune.

    Nothing in MODEL is executed. The clean images must be of the model's own classes;
    no triggered image is needed. Writes the pruned model with the checkpoint's own
    tensor names, and a report that says which channels were cut and why.

    Example: rnp sanitize model.pt --clean-dir data/
    """
    from rnp_cli.cli import options
    from rnp_cli.cli.progress import StageProgress
    from rnp_cli.cli.show import show
    from rnp_cli.pipeline import SanitizeRequest
    from rnp_cli.pipeline import sanitize as run
    from rnp_cli.report.terminal import render

    request = SanitizeRequest(
        model=model,
        clean_dir=clean_dir,
        output=output or options.default_output(model),
        force=force,
        arch=arch,
        labels=labels,
        max_samples=max_samples,
        input_size=options.image_size(input_size),
        mean=options.numbers(mean, "--mean"),
        std=options.numbers(std, "--std"),
        value_range=options.pair(value_range, "--range"),
        device=device,
        seed=seed,
        defense=options.read_config(config, max_accuracy_drop),
    )
    with StageProgress() as progress:
        result = run(request, listen=progress)
    show(result.report, output_format, render, written=result.written)
    if result.state_dict is None:
        if request.output is not None and request.output.exists():
            typer.echo(f"{request.output} is of an earlier run, not of this.", err=True)
        raise typer.Exit(ExitCode.POLICY)
