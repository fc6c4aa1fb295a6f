"""The kinds of reports: which command writes one, and how it is shown again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import RenderableType

from rnp_cli.errors import InputRefused
from rnp_cli.report.detection import Detection
from rnp_cli.report.detection_terminal import render_detection
from rnp_cli.report.filtering import Filtering
from rnp_cli.report.filtering_terminal import render_filtering
from rnp_cli.report.find import json_or_none, parsed, report_bytes
from rnp_cli.report.formats import FORMATS
from rnp_cli.report.sanitization import Report
from rnp_cli.report.scan import ScanReport
from rnp_cli.report.scan_terminal import render_scan
from rnp_cli.report.schema import as_json
from rnp_cli.report.terminal import render
from rnp_cli.report.triggers import TriggerReport
from rnp_cli.report.triggers_terminal import render_triggers
from rnp_cli.report.verification import Verification
from rnp_cli.report.verification_terminal import render_verification

_HINT = (
    "Give a report that rnp sanitize or rnp trigger wrote, or that a command printed "
    "with --format json; or a sanitized model beside its report."
)
_JSON: Mapping[str, Callable[[Any], str]] = {"json": as_json}


@dataclass(frozen=True)
class Kind:
    """The reports of one command. formats: beside the table on the terminal."""

    command: str
    schema: type[BaseModel]
    render: Callable[[Any], RenderableType]
    formats: Mapping[str, Callable[[Any], str]]


SANITIZATION = Kind("sanitize", Report, render, FORMATS)
KINDS = (
    SANITIZATION,
    Kind("detect", Detection, render_detection, _JSON),
    Kind("trigger", TriggerReport, render_triggers, _JSON),
    Kind("filter", Filtering, render_filtering, _JSON),
    Kind("scan", ScanReport, render_scan, _JSON),
    Kind("verify", Verification, render_verification, _JSON),
)


def read_any_report(path: Path) -> tuple[Kind, Any]:
    """Read the report of any command; its keys alone tell which command's it is.

    Raises InputRefused for anything else.
    """
    content = report_bytes(path)
    kind = _kind_of(content)
    if kind is None:
        raise InputRefused(
            f"{path} is not a report of rnp, or one of another version.", hint=_HINT
        )
    what = f"a report of rnp {kind.command}"
    return kind, parsed(kind.schema, content, path, what, hint=_HINT)


def _kind_of(content: bytes) -> Kind | None:
    """Return the kind whose keys are all there; no two kinds need the same ones."""
    given = json_or_none(content)
    if not isinstance(given, dict):
        return None
    for kind in KINDS:
        fields = kind.schema.model_fields.items()
        if {name for name, field in fields if field.is_required()} <= given.keys():
            return kind
    return None
