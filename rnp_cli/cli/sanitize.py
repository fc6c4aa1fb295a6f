"""``rnp sanitize``: from a suspect checkpoint to a model without the backdoor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rnp_cli.cli.guard import guarded
from rnp_cli.errors import ExitCode

_INPUT = "Input (found by trying when not given)"
_METHOD = "Method"


@guarded
def sanitize(
    model: Annotated[
        Path,
        typer.Argument(help="The checkpoint: .pt .pth .tar .th .safetensors .onnx."),
    ],
    clean_dir: Annotated[
        Path,
        typer.Option(
            help="Clean images: one sub-folder per class, or images and a labels.csv, "
            "or images alone with --labels from-model. A few hundred serve best."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The sanitized model, ending in .safetensors, or in .onnx for an "
            "ONNX model; the report goes beside it.  [default: "
            "<stem>.sanitized.safetensors or .onnx in this folder]",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace output files that exist.")
    ] = False,
    arch: Annotated[
        str | None,
        typer.Option(
            help="The architecture, where the weights do not tell: a name such as "
            "resnet18-cifar, or FILE.py:FACTORY, your own trusted code."
        ),
    ] = None,
    labels: Annotated[
        Literal["folder", "from-model"],
        typer.Option(help="Where the labels of the clean images come from."),
    ] = "folder",
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=99,
            rich_help_panel=_METHOD,
            help="Points of clean accuracy that pruning may cost.  [default: 2]",
        ),
    ] = None,
    max_samples: Annotated[
        int,
        typer.Option(
            min=2,
            rich_help_panel=_METHOD,
            help="Use at most this many of the clean images.",
        ),
    ] = 2000,
    config: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_METHOD,
            help="TOML file with knobs of the stages: [unlearn], [recover], "
            "[threshold].",
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(rich_help_panel=_METHOD, help="auto, cpu, cuda, cuda:N or mps."),
    ] = "auto",
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**63 - 1,
            rich_help_panel=_METHOD,
            help="One seed, one machine: one result, byte for byte on a CPU; on a GPU "
            "as far as its operations are deterministic.",
        ),
    ] = 0,
    input_size: Annotated[
        str | None,
        typer.Option(rich_help_panel=_INPUT, help="32, or 32x64 (height x width)."),
    ] = None,
    value_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            rich_help_panel=_INPUT,
            help="What black and white become: 0,1 or 0,255 or =-1,1.",
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_INPUT, help="Subtracted: 0.5, or one per channel."
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_INPUT, help="Divided by: 0.5, or one per channel."
        ),
    ] = None,
    output_format: Annotated[
        Literal["table", "json"],
        typer.Option("--format", help="How the report is printed."),
    ] = "table",
) -> None:
    """Remove the backdoor of MODEL: unlearn, recover, prune.

    Nothing in MODEL is executed. The clean images must be of the model's own classes;
    no triggered image is needed. Writes the pruned model with the checkpoint's own
    tensor names, and a report that says which channels were cut and why.

    Example: rnp sanitize model.pt --clean-dir data/
    """
    from rnp_cli.cli import options
    from rnp_cli.cli.progress import StageProgress
    from rnp_cli.cli.show import show_report
    from rnp_cli.pipeline import SanitizeRequest
    from rnp_cli.pipeline import sanitize as run

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
    show_report(result.report, output_format, result.written)
    if result.state_dict is None:
        if request.output is not None and request.output.exists():
            typer.echo(f"{request.output} is of an earlier run, not of this.", err=True)
        raise typer.Exit(ExitCode.POLICY)
