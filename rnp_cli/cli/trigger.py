"""``rnp trigger``: recover the smallest trigger for each class, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.cli.parameters import (
    METHOD,
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


@guarded
def trigger(
    ctx: typer.Context,
    model: ModelFile,
    clean_dir: CleanDir,
    config: Config = None,
    target: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            metavar="CLASS",
            help="A class to look at; may be given several times. Without it: all "
            "of them, and any class but the true one.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A new folder for the pictures and triggers.json; without it: "
            "<stem>.trigger in this folder.",
        ),
    ] = None,
    sanitized: Annotated[
        Path | None,
        typer.Option(help="A sanitized file of MODEL to try the triggers on, too."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the folder of an earlier run.")
    ] = False,
    arch: Arch = None,
    labels: Labels = "folder",
    family: Annotated[
        Literal["overlay", "addition", "warp"],
        typer.Option(
            help="What triggers may do to an image: lie over a part of it (patches), "
            "be added to all of it (faint, image-wide), or warp it."
        ),
    ] = "overlay",
    on: Annotated[
        Literal["original", "unlearned"],
        typer.Option(
            rich_help_panel=METHOD,
            help="Search on the model as it is, or on a copy that has unlearned half "
            "of its clean skill.",
        ),
    ] = "original",
    max_samples: MaxSamples = 2000,
    device: Device = "auto",
    seed: Seed = 0,
    input_size: InputSize = None,
    value_range: ValueRange = None,
    mean: Mean = None,
    std: Std = None,
    output_format: ReportFormat = "table",
) -> None:
    """Recover the smallest change that turns clean images to each class of MODEL.

    Writes each one and its mask as PNG, a sheet that shows clean images with the
    smallest ones on them, and their estimated attack success rate, on a sanitized file
    as well where one is given. Nothing in MODEL is executed.

    Example: rnp trigger model.pt --clean-dir data/ --target 7
    """
    from rnp_cli.cli import options
    from rnp_cli.cli.defaults import settings_of, sources
    from rnp_cli.cli.knobs import read_knobs
    from rnp_cli.cli.progress import StageProgress
    from rnp_cli.cli.show import show
    from rnp_cli.pipeline.trigger import TriggerRequest, recover_triggers
    from rnp_cli.report.triggers_terminal import render_triggers

    defense, evidence = read_knobs(settings_of(ctx).layers)
    folder = output or options.default_folder(model)
    request = TriggerRequest(
        model=model,
        clean_dir=clean_dir,
        targets=tuple(target or ()),
        family=family,
        on=on,
        sanitized=sanitized,
        output=folder,
        force=force,
        arch=arch,
        labels=labels,
        max_samples=max_samples,
        **options.feeding(input_size, value_range, mean, std),
        device=device,
        seed=seed,
        sources=sources(ctx),
        holdout_share=defense.holdout_share,
        unlearn=defense.unlearn,
        evidence=evidence,
    )
    with StageProgress() as progress:
        report = recover_triggers(request, listen=progress)
    show(report, output_format, render_triggers, written=[folder])
