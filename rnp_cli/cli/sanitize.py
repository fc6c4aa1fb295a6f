"""``rnp sanitize``: from a suspect checkpoint to a model without the backdoor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.cli.parameters import (
    METHOD,
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
    SanitizationFormat,
    Seed,
    Std,
    ValueRange,
)
from rnp_cli.errors import ExitCode

if TYPE_CHECKING:
    from rnp_cli.pipeline import SanitizeRequest, SanitizeResult


@guarded
def sanitize(
    ctx: typer.Context,
    model: ModelFile,
    clean_dir: CleanDir,
    config: Config = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A file for the sanitized model, ending in .safetensors, .onnx or "
            ".pt2; may be repeated. The report and the statement go beside the first. "
            "An ONNX model is written as .onnx.  \\[default: "
            "<stem>.sanitized.safetensors or .onnx in this folder]",
        ),
    ] = None,
    compact: Annotated[
        bool,
        typer.Option(
            "--compact",
            help="Leave pruned channels out of .onnx and .pt2 files where that changes "
            "no answer: smaller and faster. For runs that write no .safetensors.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace output files that exist.")
    ] = False,
    bom: Annotated[
        bool,
        typer.Option(
            "--bom", help="Write a CycloneDX BOM, too: pip install 'rnp-cli\\[bom]'."
        ),
    ] = False,
    arch: Arch = None,
    labels: Labels = "folder",
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=99,
            envvar="RNP_MAX_ACCURACY_DROP",
            rich_help_panel=METHOD,
            help="Points of clean accuracy that pruning may cost. Pruning and repair "
            "together may cost 5, which repair.max_accuracy_drop sets.  "
            "\\[default: 2]",
        ),
    ] = None,
    max_samples: MaxSamples = 2000,
    when: Annotated[
        Literal["evidence", "always"],
        typer.Option(
            envvar="RNP_WHEN",
            help="Change the model only on evidence of a backdoor, or prune it in any "
            "case as far as --max-accuracy-drop goes.",
        ),
    ] = "evidence",
    method: Annotated[
        Literal["rnp", "rnp+repair", "anp", "nad"],
        typer.Option(
            envvar="RNP_METHOD",
            rich_help_panel=METHOD,
            help="rnp: prune as far as --max-accuracy-drop goes, as the paper does. "
            "rnp+repair: prune no more than takes the recovered triggers away, repair "
            "what is left, and look again. anp: prune by adversarial masks that begin "
            "where recovery left them. nad: distill the pruned model's attention into "
            "the original. Both look again, too.",
        ),
    ] = "rnp+repair",
    device: Device = "auto",
    seed: Seed = 0,
    input_size: InputSize = None,
    value_range: ValueRange = None,
    mean: Mean = None,
    std: Std = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RNP_SANITIZE_FAIL_ON",
            metavar="RULE",
            help="End with exit code 1 for this, too: backdoor (evidence in MODEL, "
            "although removed), left (evidence in the sanitized model, weak as it may "
            "be, or after --method rnp, which does not look again), unheard (where "
            "mistakes go says nothing of MODEL, as without BatchNorm, so that some "
            "triggers may be missed), accuracy=POINTS "
            "(more lost on the holdout), or residual=PERCENT (of images that a "
            "recovered trigger still turns). May be repeated; the variable has spaces "
            "between rules. The sanitized model is written all the same.",
        ),
    ] = None,
    accepted: Accepted = None,
    for_ci: Annotated[
        bool,
        typer.Option(
            "--ci",
            help="For a job in continuous integration: no colors, the outcome and "
            "errors as annotations, the report in $GITHUB_STEP_SUMMARY where it is "
            "set.",
        ),
    ] = False,
    output_format: SanitizationFormat = "table",
) -> None:
    """Remove the backdoor of MODEL: look, unlearn, recover, prune, repair, look again.

    Nothing in MODEL is executed. The clean images must be of the model's own classes;
    no triggered image is needed. Without evidence of a backdoor the model is written
    as it came. Writes the sanitized model with the checkpoint's own tensor names, a
    report that says what was found, which channels were cut and why, and what is left,
    and a statement of what it was made from, for rnp verify. Exit code 1: it could not
    be made safe, and no model was written.

    Example: rnp sanitize model.pt --clean-dir data/
    """
    from rnp_cli.cli import ci, options
    from rnp_cli.cli.accepted import read_accepted
    from rnp_cli.cli.defaults import settings_of, sources
    from rnp_cli.cli.knobs import read_knobs
    from rnp_cli.cli.progress import StageProgress
    from rnp_cli.pipeline import SanitizeRequest
    from rnp_cli.pipeline import sanitize as run

    settings = settings_of(ctx)
    if for_ci and config is None:
        ci.refuse_unread(settings.unread)
    layers = settings.layers
    defense, evidence = read_knobs(layers, max_accuracy_drop)
    request = SanitizeRequest(
        model=model,
        clean_dir=clean_dir,
        outputs=tuple(output or [options.default_output(model)]),
        compact=compact,
        force=force,
        bom=bom,
        arch=arch,
        labels=labels,
        max_samples=max_samples,
        **options.feeding(input_size, value_range, mean, std),
        device=device,
        seed=seed,
        sources=sources(ctx),
        defense=defense,
        evidence=evidence,
        method=method,
        when=when,
        policy=options.policy(fail_on or ()),
        accepted=read_accepted(accepted),
    )
    with StageProgress() as progress:
        result = run(request, listen=progress)
    _conclude(request, result, output_format, for_ci=for_ci)


def _conclude(
    request: SanitizeRequest,
    result: SanitizeResult,
    output_format: str,
    *,
    for_ci: bool,
) -> None:
    """Show what came of it, and end with the exit code that it deserves."""
    from rnp_cli.cli import ci
    from rnp_cli.cli.show import show, tell_policy
    from rnp_cli.provenance.names import companion_places
    from rnp_cli.report.formats import formats_with
    from rnp_cli.report.plain import plain
    from rnp_cli.report.policy import is_failed
    from rnp_cli.report.terminal import render

    report = result.report
    formats = formats_with(request.model)
    show(report, output_format, render, formats=formats, written=result.written)
    place = request.report_path()
    if result.state_dict is None and place is not None:
        for old in (*request.outputs, *companion_places(place)):
            if old.exists():
                name = plain(str(old))
                typer.echo(f"Of an earlier run, not of this: {name}", err=True)
    if for_ci:
        ci.tell(report)
    else:
        tell_policy(report)
    if is_failed(report):
        raise typer.Exit(ExitCode.POLICY)
