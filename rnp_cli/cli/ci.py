"""What a job in continuous integration shows: plain lines, annotations, a summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from rnp_cli.errors import RnpError, UsageError

if TYPE_CHECKING:
    from rnp_cli.report.sanitization import Report

_LEVELS = {"good": "notice", "doubtful": "warning", "bad": "error"}


def print_plainly() -> None:
    """Let Rich use neither colors nor spinners, from now on."""
    os.environ["TERM"] = "dumb"
    os.environ.pop("FORCE_COLOR", None)


def tell_error(error: RnpError) -> None:
    """Annotate an error."""
    _annotate("error", "rnp", error.message)


def refuse_unread(files: Collection[Path]) -> None:
    """Raise UsageError for settings that were left unread beside the model.

    A person sees that they were; a job would pass without its policy.
    """
    if files:
        named = " and ".join(map(str, files))
        raise UsageError(
            f"{named} was not read: it lies beside the model, and may have come with "
            "it.",
            hint="Keep models in a folder of their own; or, where the file is yours, "
            f"name it: --config {next(iter(files))}.",
        )


def tell(report: Report) -> None:
    """Annotate the outcome, and rules broken; add the report to the job's summary.

    The summary is GitHub's, where $GITHUB_STEP_SUMMARY names a file.
    """
    from rnp_cli.report import words
    from rnp_cli.report.markdown import markdown

    if report.verdict.level != "none" or words.tone(report) == "bad":
        title = f"{report.model.file}: {words.title(report)}"
        _annotate(_LEVELS[words.tone(report)], title, words.said(report))
    for breach in report.breaches:
        if breach.accepted is None:
            _annotate("error", "Policy", breach.said)
        else:
            _annotate("notice", "Accepted", words.accepted(breach))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(markdown(report))
        except OSError as error:  # the model is written, and the verdict stands
            said = f"The summary could not be written to {summary}: {error.strerror}."
            _annotate("warning", "rnp", said)


def _annotate(level: str, title: str, message: str) -> None:
    """Write a workflow command of GitHub's, or a plain line elsewhere."""
    from rnp_cli.report.plain import plain

    title, message = plain(title), plain(message)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for read, written in (("%", "%25"), (":", "%3A"), (",", "%2C")):
            title = title.replace(read, written)
        message = message.replace("%", "%25")
        sys.stderr.write(f"::{level} title={title}::{message}\n")
    else:
        sys.stderr.write(f"{level}: {title}: {message}\n")
