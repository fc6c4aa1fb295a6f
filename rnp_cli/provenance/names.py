"""The names of the files that lie beside a sanitized model and its report."""

from __future__ import annotations

from pathlib import Path

_REPORT = ".report.json"
_STATEMENT = ".intoto.json"  # .intoto.jsonl is for bundles of signed envelopes
_BOM = ".cdx.json"


def statement_name(report: str) -> str:
    """Return the name of the statement beside the report of that name."""
    return report.removesuffix(_REPORT) + _STATEMENT


def companion_places(report: Path) -> tuple[Path, Path]:
    """Return where the statement and the BOM beside this report are, or would be."""
    return (
        report.with_name(statement_name(report.name)),
        report.with_name(bom_name(report.name)),
    )


def bom_name(report: str) -> str:
    """Return the name of the BOM beside the report of that name."""
    return report.removesuffix(_REPORT) + _BOM
