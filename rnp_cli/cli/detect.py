"""``rnp detect``: say whether there is a backdoor, and to which class."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.cli.parameters import (
    Accepted,
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
def detect(
    ctx: typer.Context,
    model: ModelFile,
    clean_dir: CleanDir,
    config: Config = None,
    arch: Arch = None,
    labels: Labels = "folder",
    fail_on: Annotated[
        Literal["weak", "strong", "never"],
        typer.Option(
            envvar="RNP_DETECT_FAIL_ON",
            help="Evidence from which the command ends with exit code 1; by default "
            "weak evidence does not.",
        ),
    ] = "strong",
    hear_all: Annotated[
        bool,
        typer.Option(
            "--hear-all",
            help="Recover triggers also where margins and unlearning are strong "
            "evidence without; they take longer than both.",
        ),
    ] = False,
    accepted: Accepted = None,
    max_samples: MaxSamples = 2000,
    device: Device = "auto",
    seed: Seed = 0,
    input_size: InputSize = None,
    value_range: ValueRange = None,
    mean: Mean = None,
    std: Std = None,
    output_format: ReportFormat = "table",
) -> None:
    """Say whether MODEL seems to have a backdoor, and to which class.

    Three witnesses: the class that draws new mistakes while the clean skill is
    unlearned; the class that some input leads much farther than any leads another; and,
    where these are not strong evidence by themselves, the smallest change that turns
    clean images to each class - a pattern laid over them, added to them, or a warp -
    which for a backdoor's class is far smaller than for the others. Nothing in MODEL is
    executed, nothing is written, no triggered image is needed.

    Example: rnp detect model.pt --clean-dir data/
    """
    from rnp_cli.cli import options
    from rnp_cli.cli.accepted import read_accepted
    from rnp_cli.cli.defaults import settings_of, sources
    from rnp_cli.cli.knobs import read_knobs
    from rnp_cli.cli.progress import StageProgress
    from rnp_cli.cli.show import show
    from rnp_cli.pipeline.detect import DetectRequest
    from rnp_cli.pipeline.detect import detect as run
    from rnp_cli.report.detection_terminal import render_detection
    from rnp_cli.report.policy import failing, judged_detection

    entries = read_accepted(accepted)
    defense, evidence = read_knobs(settings_of(ctx).layers)
    request = DetectRequest(
        model=model,
        clean_dir=clean_dir,
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
        hear_all=hear_all,
    )
    with StageProgress() as progress:
        detection = judged_detection(run(request, listen=progress), fail_on, entries)
    show(detection, output_format, render_detection)
    if failing(detection):
        raise typer.Exit(ExitCode.POLICY)
