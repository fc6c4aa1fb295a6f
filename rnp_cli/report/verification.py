"""Whether a sanitized model and the files beside it agree, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rnp_cli.report.plain import plain
from rnp_cli.report.schema import Part

Role = Literal["model", "report", "statement", "bom"]
State = Literal["ok", "differs", "missing"]
_MOST_CHARACTERS = 300


class Link(Part):
    """What one file says of another, and what that is found to be; SHA-256."""

    said_by: Role
    of: str
    state: State
    said: str | None
    found: str | None

    @classmethod
    def between(
        cls, said_by: Role, of: str, said: str | None, found: str | None
    ) -> Link:
        """Compare two digests; None: the one that says it, or what it is of, is not.

        What is said may be any text, and is escaped and cut.
        """
        state: State = "ok" if said == found else "differs"
        if said is None or found is None:
            state = "missing"
        said, found = (None if text is None else _shown(text) for text in (said, found))
        return cls(said_by=said_by, of=_shown(of), state=state, said=said, found=found)


def _shown(text: str) -> str:
    escaped = plain(text[:_MOST_CHARACTERS])
    return escaped if len(text) <= _MOST_CHARACTERS else f"{escaped}..."


class VerifiedFile(Part):
    """A file that was compared. sha256: of its bytes; None: it is not there."""

    role: Role
    path: str
    sha256: str | None


class Verification(Part):
    """Every link between the files."""

    schema_version: Literal[1] = 1
    tool_version: str
    files: tuple[VerifiedFile, ...]
    links: tuple[Link, ...] = Field(min_length=1)
    not_checked: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs and nothing is missing."""
        return all(link.state == "ok" for link in self.links)
