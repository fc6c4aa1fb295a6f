"""The formats of a sanitization's report, beside the table: one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rnp_cli.report.html import html
from rnp_cli.report.markdown import markdown
from rnp_cli.report.place import uri_of
from rnp_cli.report.sanitization import Report
from rnp_cli.report.sarif import sarif
from rnp_cli.report.schema import as_json

FORMATS: Mapping[str, Callable[[Report], str]] = {
    "json": as_json,
    "markdown": markdown,
    "sarif": sarif,
    "html": html,
}
SUFFIXES: Mapping[str, str] = {
    ".html": "html",
    ".md": "markdown",
    ".sarif": "sarif",
    ".json": "json",
}


def formats_with(model: Path) -> Mapping[str, Callable[[Report], str]]:
    """Return the formats, with where the model lies in the one that says it."""

    def placed(report: Report) -> str:
        return sarif(report, uri_of(model))

    return {**FORMATS, "sarif": placed}
