"""Closing the loop: whether what showed a backdoor still shows one.

After a sanitization all witnesses are heard again, and each is believed as far as it
had something to say of the model as it came. A repair moves weights little: what
carried the backdoor sleeps in them, and unlearning can wake it, so that mistakes still
go to its class. Where triggers had shown the backdoor, and show nothing now, that is no
attack any more. Where the others alone had shown it, they must have ceased. A margin
that is wide now says what inputs do to the model as it is, and always counts.
"""

from __future__ import annotations

from rnp_cli.evidence.verdict import LEVELS, Verdict, VerdictConfig


def convicted_by_triggers(verdict: Verdict, config: VerdictConfig) -> bool:
    """Whether triggers had a say in it."""
    return verdict.p_inversion <= config.weak


def convicted_by_margins(verdict: Verdict, config: VerdictConfig) -> bool:
    """Whether the maximum margin had a say in it."""
    return verdict.p_margin is not None and verdict.p_margin <= config.weak


def convicted_by_mistakes(verdict: Verdict, config: VerdictConfig) -> bool:
    """Whether mistakes while unlearning had a say in it."""
    return verdict.p_label is not None and verdict.p_label <= config.weak


def still_speaks(before: Verdict, after: Verdict, config: VerdictConfig) -> bool:
    """Whether what convicted the model as it came still convicts it.

    before, after: verdicts on the model as it came and as it is now.
    """
    if after.level == "none":
        return False
    if after.target != before.target:
        return after.level == "strong"
    if convicted_by_margins(after, config):
        return True
    if convicted_by_triggers(before, config):
        return convicted_by_triggers(after, config)
    return LEVELS.index(after.level) >= LEVELS.index(before.level)
