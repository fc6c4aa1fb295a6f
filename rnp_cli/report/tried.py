"""The triggers of the suspected class, before and after, in words."""

from __future__ import annotations

from rnp_cli.report import families
from rnp_cli.report.sanitization import TriedTrigger

NOTE = (
    "Turns: the share of held-out clean images that the trigger turns, the "
    "estimated attack success rate. Smallest after: what is needed now."
)


def phrase(trigger: TriedTrigger) -> str:
    """Say what a trigger does to an image."""
    if trigger.wave is not None:
        return families.wave(*trigger.wave, trigger.size)
    return families.phrase(trigger.family, trigger.size)


def row(trigger: TriedTrigger) -> tuple[str, str, str, str]:
    """Write a trigger, what it turns before and after, and what is needed now."""
    left = "none found" if trigger.wave is None else "not sought"
    if trigger.size_after is not None:
        left = families.phrase(trigger.family, trigger.size_after)
    return (
        phrase(trigger),
        f"{trigger.success_before:.0%}",
        f"{trigger.success_after:.0%}",
        left,
    )
