"""Which names a tensor may have."""

from __future__ import annotations

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import hostile, over_limit, quote


def check_name(name: str, limits: LoadLimits) -> None:
    """Refuse names that would do something where they are shown or saved.

    Raises InputRefused on control characters, escapes, log commands and paths.
    """
    if len(name) > limits.max_name_length:
        raise over_limit(f"A tensor's name has {len(name):,} characters.")
    if not name or not name.isprintable():
        raise hostile(f"A tensor has the unprintable name “{quote(name)}”.")
    if name.startswith("::") or ".." in name.replace("\\", "/").split("/"):
        raise hostile(
            f"A tensor has the name “{quote(name)}”, which reads as a path or command."
        )
