"""Collects the classes and functions that the pickles of a file name."""

from __future__ import annotations

from rnp_cli.checkpoints.pickle_globals import Severity, severity
from rnp_cli.checkpoints.records import Global
from rnp_cli.checkpoints.refusals import hostile, listed, quote
from rnp_cli.checkpoints.scan import ScannedGlobal
from rnp_cli.errors import InputRefused

_MAX_LISTED = 1_000
_WORST_FIRST = (Severity.GADGET, Severity.UNKNOWN, Severity.HARMLESS)


class NamedCode:
    """Every name once, with what it says about the file. Nothing is looked up."""

    def __init__(self) -> None:
        self._verdicts: dict[Global, Severity] = {}

    def note(self, named: Global) -> Global:
        """Remember a name, and hand it back."""
        if named not in self._verdicts:
            self._verdicts[named] = severity(named)
        return named

    def refusal(self) -> InputRefused | None:
        """Why a file with these names is refused, where it is."""
        gadgets = self._of(Severity.GADGET)
        if not gadgets:
            return None
        more = f" and {len(gadgets) - 1} more such names" if len(gadgets) > 1 else ""
        return hostile(
            f"It names {quote(gadgets[0])}{more}, which a weights file never needs; "
            "nothing was executed."
        )

    def findings(self) -> tuple[str, ...]:
        """One finding that lists the unknown names, or none."""
        unknown = self._of(Severity.UNKNOWN)
        if not unknown:
            return ()
        return (f"names code that is unknown here (never imported): {listed(unknown)}",)

    def listing(self) -> tuple[ScannedGlobal, ...]:
        """All names, the worst first; the harmless ones are cut where they are many."""
        return tuple(
            ScannedGlobal(name=quote(name), severity=kind)
            for kind in _WORST_FIRST
            for name in self._of(kind)
        )[:_MAX_LISTED]

    def _of(self, kind: Severity) -> list[str]:
        return [str(name) for name, how in self._verdicts.items() if how is kind]
