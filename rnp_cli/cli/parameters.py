"""Parameters that several commands have, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rnp_cli.cli.defaults import use_settings

INPUT = "Input (found by trying when not given)"
METHOD = "Method"

ModelFile = Annotated[
    Path,
    typer.Argument(
        is_eager=True,  # where settings are found depends on where it lies
        help="The checkpoint: .pt .pth .tar .th .safetensors .onnx.",
    ),
]
CleanDir = Annotated[
    Path,
    typer.Option(
        help="Clean images: one sub-folder per class, or images and a labels.csv, "
        "or images alone with --labels from-model. A few hundred serve best."
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(
        help="The architecture, where the weights do not tell: a name such as "
        "resnet18-cifar, or FILE.py:FACTORY, your own trusted code."
    ),
]
Labels = Annotated[
    Literal["folder", "from-model"],
    typer.Option(
        envvar="RNP_LABELS", help="Where the labels of the clean images come from."
    ),
]
Config = Annotated[  # it comes before the options that it sets
    Path | None,
    typer.Option(
        envvar="RNP_CONFIG",
        callback=use_settings,
        help="TOML file of settings: defaults of options, and knobs of the stages.  "
        "\\[default: rnp.toml in this folder, unless the model lies there]",
    ),
]
Accepted = Annotated[
    Path | None,
    typer.Option(
        envvar="RNP_ACCEPTED",
        help="TOML file of what is accepted of which model, why, and until when; it "
        "stays in the report, and does not fail --fail-on.",
    ),
]
MaxSamples = Annotated[
    int,
    typer.Option(
        min=2,
        envvar="RNP_MAX_SAMPLES",
        rich_help_panel=METHOD,
        help="Use at most this many of the clean images.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        envvar="RNP_DEVICE",
        rich_help_panel=METHOD,
        help="auto, cpu, cuda, cuda:N or mps.",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**63 - 1,
        envvar="RNP_SEED",
        rich_help_panel=METHOD,
        help="One seed, one machine: one result, byte for byte on a CPU; on a GPU "
        "as far as its operations are deterministic.",
    ),
]
InputSize = Annotated[
    str | None,
    typer.Option(
        envvar="RNP_INPUT_SIZE",
        rich_help_panel=INPUT,
        help="32, or 32x64 (height x width).",
    ),
]
ValueRange = Annotated[
    str | None,
    typer.Option(
        "--range",
        envvar="RNP_RANGE",
        rich_help_panel=INPUT,
        help="What black and white become: 0,1 or 0,255 or =-1,1.",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        envvar="RNP_MEAN",
        rich_help_panel=INPUT,
        help="Subtracted: 0.5, or one per channel.",
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        envvar="RNP_STD",
        rich_help_panel=INPUT,
        help="Divided by: 0.5, or one per channel.",
    ),
]
SanitizationFormat = Annotated[
    Literal["table", "json", "markdown", "sarif", "html"],
    typer.Option("--format", help="How the report is printed."),
]
ReportFormat = Annotated[
    Literal["table", "json"],
    typer.Option("--format", help="How the report is printed."),
]
