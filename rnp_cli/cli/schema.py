"""``rnp schema``: what a report's JSON holds, for programs that read it."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from rnp_cli.cli.guard import guarded


@guarded
def schema(
    kind: Annotated[
        Literal["sanitize", "detect", "trigger", "filter", "scan", "verify"],
        typer.Argument(help="The command whose report is described."),
    ] = "sanitize",
) -> None:
    """Print the JSON Schema of a command's report.

    Example: rnp schema > rnp-report.schema.json
    """
    from pydantic import BaseModel

    from rnp_cli.report.detection import Detection
    from rnp_cli.report.filtering import Filtering
    from rnp_cli.report.sanitization import Report
    from rnp_cli.report.scan import ScanReport
    from rnp_cli.report.triggers import TriggerReport
    from rnp_cli.report.verification import Verification

    reports: dict[str, type[BaseModel]] = {
        "sanitize": Report,
        "detect": Detection,
        "trigger": TriggerReport,
        "filter": Filtering,
        "scan": ScanReport,
        "verify": Verification,
    }
    content = reports[kind].model_json_schema(mode="serialization")
    typer.echo(json.dumps(content, indent=2))
