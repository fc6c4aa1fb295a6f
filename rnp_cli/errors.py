"""Errors a user can act on, and the exit codes that every command shares."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the shell sees; the same for every command."""

    OK = 0  # done and within policy
    POLICY = 1  # the model could not be made to satisfy the policy
    ERROR = 2  # usage or tool error
    REFUSED = 3  # an input was refused


class RnpError(Exception):
    """Something the user can act on: what happened, and what to do next.

    A subclass names the exit code. Anything else that escapes a command is a
    bug and keeps its traceback.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(RnpError):
    """An option or a combination of options makes no sense."""


class OutputExists(RnpError):
    """An output file is already there and may not be replaced."""


class InputRefused(RnpError):
    """A checkpoint or a sample folder is malformed, hostile or unsuitable."""

    exit_code = ExitCode.REFUSED


class DefenseFailed(RnpError):
    """A stage of the defense could not do its work on this model."""

    exit_code = ExitCode.POLICY
