"""Closing the loop: whether what showed a backdoor still shows one.

After a sanitization all witnesses are heard again, and each is believed as far as it
had something to say of the model as it came. A repair moves weights little: what
carried the backdoor sleeps in them, and unlearning can wake it, so that mistakes still
go to its class. Where triggers had shown the backdoor, and show nothing now, that is no
attack any more. Where the others alone had shown it, they must have ceased. A margin
says what inputs do to the model as it is now, but of inputs that are no images: where
triggers had shown the backdoor, and show nothing now, it counts if its own evidence is
strong. Weak evidence one network in twenty shows that has nothing to hide.
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
    if convicted_by_triggers(before, config):
        return convicted_by_triggers(after, config) or _margin_is_strong(after, config)
    if convicted_by_margins(after, config):
        return True
    return LEVELS.index(after.level) >= LEVELS.index(before.level)


def _margin_is_strong(verdict: Verdict, config: VerdictConfig) -> bool:
    return verdict.p_margin is not None and verdict.p_margin <= config.strong
