"""Text from files, made harmless for a terminal and for the log of a job."""

from __future__ import annotations

import re

_COMMAND = re.compile(r"##(?=\w*\[)")  # of GitHub's runner, anywhere in a line; others'
_COMMAND_LINE = re.compile(r"^(\s*):(?=:)", re.MULTILINE)  # of GitHub's runner


def plain(text: str) -> str:
    """Escape what would act on a terminal, or in a log, instead of being shown.

    The result may still hold markup of the renderer, who must not read it as such.
    """
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return _COMMAND.sub(r"#\\x23", shown)


def in_json(text: str) -> str:
    """Write JSON that says the same, and that a job's log does not obey."""
    return _COMMAND.sub(r"#\\u0023", text)


def without_commands(printed: str) -> str:
    """Escape what a job's log would obey where a line of plain text begins.

    Only whoever breaks text into lines knows where that is.
    """
    return _COMMAND_LINE.sub(r"\1\\x3a", printed)
