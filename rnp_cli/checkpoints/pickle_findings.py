"""Words what a reader should know about the names in a pickle."""

from __future__ import annotations

from collections.abc import Mapping

from rnp_cli.checkpoints.pickle_globals import Severity
from rnp_cli.checkpoints.records import Global
from rnp_cli.checkpoints.refusals import listed


def unknown_names(named: Mapping[Global, Severity]) -> tuple[str, ...]:
    """One finding that lists the unknown names, or none."""
    unknown = [str(name) for name, how in named.items() if how is Severity.UNKNOWN]
    if not unknown:
        return ()
    return (f"names code that is unknown here (never imported): {listed(unknown)}",)
