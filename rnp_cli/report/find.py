"""Find a report: the JSON itself, or the one that a sanitized model names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from rnp_cli.errors import InputRefused
from rnp_cli.report.misfits import misfits
from rnp_cli.report.sanitization import Report

R = TypeVar("R", bound=BaseModel)
_MOST_BYTES = 64 << 20
_HINT = "Give the .report.json that rnp sanitize wrote, or the model beside it."


def read_report(path: Path) -> Report:
    """Read a report's JSON; raise InputRefused for anything else."""
    return parse_report(report_bytes(path), path)


def report_bytes(path: Path) -> bytes:
    """Read a file that may be a report; raise InputRefused where it cannot be one."""
    return bounded_bytes(path, most=_MOST_BYTES, kind="a report", hint=_HINT)


def bounded_bytes(path: Path, *, most: int, kind: str, hint: str) -> bytes:
    """Read a file of at most so many bytes; raise InputRefused where it is none."""
    try:
        if not path.is_file():
            raise InputRefused(f"{path} is not a file.", hint=hint)
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise InputRefused(f"{path} cannot be read: {error}.", hint=hint) from error
    if len(content) > most:
        raise InputRefused(f"{path} is too large to be {kind}.", hint=hint)
    return content


def parse_report(content: bytes, path: Path) -> Report:
    """Take the report out of a file's bytes; raise InputRefused for anything else."""
    return parsed(Report, content, path, "a report of rnp sanitize", hint=_HINT)


def parsed(kind: type[R], content: bytes, path: Path, what: str, *, hint: str) -> R:
    """Take a report of one kind out of a file's bytes; raise InputRefused."""
    try:
        return kind.model_validate_json(content, strict=True)
    except ValidationError as error:
        why = misfits(error, json_or_none(content))
        raise InputRefused(
            f"{path} is not {what}, or one of another version: {why}.", hint=hint
        ) from error


def json_or_none(content: bytes) -> Any:
    """Take JSON out of a file's bytes; None where there is none."""
    try:
        return from_json(content)
    except ValueError:
        return None


def report_of_model(path: Path, metadata: dict[str, str]) -> Report:
    """Read the report that a sanitized model's metadata names.

    Only a file beside the model is read, and only if it has the digest that the
    model carries. Raises InputRefused.
    """
    name = metadata.get("rnp_report", "")
    if not name or Path(name).name != name:
        raise InputRefused(f"{path} was not written by rnp.", hint=_HINT)
    report = read_report(path.with_name(name))
    if report.digest() != metadata.get("rnp_report_sha256"):
        raise InputRefused(
            f"{name} is not the report that {path.name} was written with.",
            hint="One of the two was changed or replaced; give the report itself to "
            "see what it says.",
        )
    return report
