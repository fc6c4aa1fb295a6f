"""``rnp detect``: say whether there is a backdoor, and to which class."""

from __future__ import annotations

from typing import Annotated, Literal

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

_LEVELS = ("none", "weak", "strong")


@guarded
def detect(
    model: ModelFile,
    clean_dir: CleanDir,
    arch: Arch = None,
    labels: Labels = "folder",
    fail_on: Annotated[
        Literal["weak", "strong", "never"],
        typer.Option(help="Evidence from which the command ends with exit code 1."),
    ] = "strong",
    hear_both: Annotated[
        bool,
        typer.Option(
            "--hear-both",
            help="Recover triggers also where unlearning alone is strong evidence; "
            "they take longer than it.",
        ),
    ] = False,
    max_samples: MaxSamples = 2000,
    config: Config = None,
    device: Device = "auto",
    seed: Seed = 0,
    input_size: InputSize = None,
    value_range: ValueRange = None,
    mean: Mean = None,
    std: Std = None,
    output_format: ReportFormat = "table",
) -> None:
    """Say whether MODEL seems to have a backdoor, and to which class.

    Two witnesses: the class that draws new mistakes while the clean skill is unlearned,
    and, where that is not strong evidence by itself, the smallest change that turns
    clean images to each class - a pattern laid over them, added to them, or a warp -
    which for a backdoor's class is far smaller than for the others. Nothing in MODEL is
    executed, nothing is written, no triggered image is needed.

    Example: rnp detect model.pt --clean-dir data/
    """
    from rnp_cli.cli import options
    from rnp_cli.cli.progress import StageProgress
    from rnp_cli.cli.show import show
    from rnp_cli.pipeline.detect import DetectRequest
    from rnp_cli.pipeline.detect import detect as run
    from rnp_cli.report.detection_terminal import render_detection

    defense, evidence = options.read_config(config)
    request = DetectRequest(
        model=model,
        clean_dir=clean_dir,
        arch=arch,
        labels=labels,
        max_samples=max_samples,
        **options.feeding(input_size, value_range, mean, std),
        device=device,
        seed=seed,
        holdout_share=defense.holdout_share,
        unlearn=defense.unlearn,
        evidence=evidence,
        hear_both=hear_both,
    )
    with StageProgress() as progress:
        detection = run(request, listen=progress)
    show(detection, output_format, render_detection)
    level = _LEVELS.index(detection.verdict.level)
    if fail_on != "never" and level >= _LEVELS.index(fail_on):
        raise typer.Exit(ExitCode.POLICY)
