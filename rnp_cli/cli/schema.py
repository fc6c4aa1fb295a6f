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
    from rnp_cli.report.kinds import KINDS

    [found] = [one.schema for one in KINDS if one.command == kind]
    typer.echo(json.dumps(found.model_json_schema(mode="serialization"), indent=2))
