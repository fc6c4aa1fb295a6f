"""``rnp filter``: say which images of a folder seem to be triggered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.cli.parameters import (
    Arch,
    CleanDir,
    Config,
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
def filter_images(
    ctx: typer.Context,
    model: ModelFile,
    clean_dir: CleanDir,
    suspects: Annotated[
        Path,
        typer.Option(
            help="The folder to judge, with all below it: training data, or what was "
            "sent to the model. No labels are needed."
        ),
    ],
    config: Config = None,
    sanitized: Annotated[
        Path | None,
        typer.Option(
            help="The file that rnp sanitize made of MODEL with these clean images: "
            "images are suspect whose class it gives up, which tells more, and faster, "
            "than unlearning.",
        ),
    ] = None,
    fpr: Annotated[
        float,
        typer.Option(
            min=1e-6,
            max=0.5,
            envvar="RNP_FPR",
            help="The share of clean images that may be called suspect. n held-out "
            "images, half of the clean ones, or with --sanitized as many as were held "
            "out there, can tell rates from 1/(n+1) on.",
        ),
    ] = 0.01,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="List every file, with score and decision: .csv, .json or .jsonl.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an output file that exists.")
    ] = False,
    quarantine: Annotated[
        Path | None,
        typer.Option(help="Copy the suspect files to this folder, new or empty."),
    ] = None,
    move: Annotated[
        bool, typer.Option("--move", help="Move them there instead.")
    ] = False,
    arch: Arch = None,
    labels: Labels = "folder",
    max_samples: MaxSamples = 2000,
    device: Device = "auto",
    seed: Seed = 0,
    input_size: InputSize = None,
    value_range: ValueRange = None,
    mean: Mean = None,
    std: Std = None,
    output_format: ReportFormat = "table",
) -> None:
    """Say which images of --suspects seem to carry the trigger of MODEL's backdoor.

    While the clean skill is unlearned, the model keeps giving triggered images their
    class, and clean ones not; a sanitized model gives triggered images another class,
    and clean ones not. How far an image is kept, or given up, is compared with clean
    images; no triggered one is needed. Nothing in MODEL is executed; files are touched
    only by --quarantine. Exit code 3 where a file could not be read, or put aside,
    after all others.

    Example: rnp filter model.pt --clean-dir data/ --suspects inbox/ -o inbox.csv
    """
    from rnp_cli.cli import options
    from rnp_cli.cli.defaults import settings_of, sources
    from rnp_cli.cli.knobs import read_knobs
    from rnp_cli.cli.progress import StageProgress
    from rnp_cli.cli.show import show
    from rnp_cli.pipeline.filter import filter_suspects
    from rnp_cli.pipeline.filter_request import FilterRequest
    from rnp_cli.report.filtering_terminal import render_filtering

    defense, _ = read_knobs(settings_of(ctx).layers)
    share = defense.holdout_share
    request = FilterRequest(
        model=model,
        clean_dir=clean_dir,
        suspects=suspects,
        sanitized=sanitized,
        fpr=fpr,
        output=output,
        force=force,
        quarantine=quarantine,
        move=move,
        arch=arch,
        labels=labels,
        max_samples=max_samples,
        **options.feeding(input_size, value_range, mean, std),
        device=device,
        seed=seed,
        sources=sources(ctx),
        unlearn=defense.unlearn,
        holdout_share=share if "holdout_share" in defense.model_fields_set else None,
    )
    with StageProgress() as progress:
        filtering = filter_suspects(request, listen=progress)
    show(filtering, output_format, render_filtering)
    if filtering.counts.unreadable:
        raise typer.Exit(ExitCode.REFUSED)
