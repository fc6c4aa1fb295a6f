"""Closing the loop: whether the suspected class is still easier to reach than usual.

After a repair the triggers of the suspected class are recovered anew, of each family
of which it was easier to reach than the other classes are. A repair aims at triggers
that are clearly larger than those of the other classes; where its rounds end before
that, they must at least be as large.

At the end both witnesses are heard again, and each is believed as far as it had
something to say of the model as it came. A repair moves weights little: what carried
the backdoor sleeps in them, and unlearning can wake it, so that mistakes still go to
its class. Where triggers had shown the backdoor, and show nothing now, that is no
attack any more. Where mistakes alone had shown it, they must have ceased.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from rnp_cli.defense.samples import SplitSamples
from rnp_cli.evidence.inversion import (
    InversionConfig,
    RecoveredTrigger,
    estimated_success,
    invert_triggers,
)
from rnp_cli.evidence.triggers import Family
from rnp_cli.evidence.verdict import LEVELS, Verdict, VerdictConfig


class ClosingConfig(BaseModel):
    """When a family of triggers is pursued, and how far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    easier: float = Field(0.8, gt=0)
    """A family is pursued whose trigger for the suspected class is at most so large
    beside the median of the other classes' triggers."""
    harder: float = Field(2.0, gt=0)
    """It is done with when that trigger is at least so large beside that median, or
    half way from it to the largest there is."""
    attempts: int = Field(2, ge=1)
    """At a trigger of each family, in each round: one alone may end far from it."""
    usual: float = Field(1.0, gt=0)
    """How large it must be at least, beside that median, when the rounds are over."""
    success_left: float = Field(0.2, ge=0, le=1)
    """Share of clean samples that the first triggers may still turn at the end."""


class Remaining:
    """Recovers what still reaches the suspected class more easily than it should.

    first: the triggers to begin with, of each family that is pursued; first the one
    that stands out most. newest: those that were recovered last, whether they counted
    or not.
    """

    def __init__(
        self,
        triggers: Sequence[RecoveredTrigger],
        target: int | None,
        samples: SplitSamples,
        inversion: InversionConfig,
        config: ClosingConfig,
        *,
        seed: int,
    ) -> None:
        """Begin with the ``triggers`` of all classes of the model as it came.

        target: the suspected class, or None where every class moves to another.
        """
        self._target = target
        self._samples = samples
        self._inversion = inversion
        self._config = config
        self._seed = seed
        self._usual = _usual_sizes(triggers, target)
        first = [t for t in triggers if t.target == target and t.found]
        first.sort(key=self._beside_usual)
        easy = [t for t in first if self._beside_usual(t) <= config.easier]
        self.first = tuple(easy or first)
        self.newest: tuple[RecoveredTrigger, ...] = ()

    def recover(self, model: nn.Module, *, number: int) -> list[RecoveredTrigger]:
        """Return the triggers of ``model`` that are not yet larger than usual.

        Where there are none, the first ones are returned as far as they still work:
        what is found anew may lie far from them.
        number: of the attempt, from 1; each draws its own start.
        """
        found: list[RecoveredTrigger] = []
        for trigger in self.first:
            found += invert_triggers(
                model,
                self._samples,
                self._inversion,
                targets=[self._target] * self._config.attempts,
                family=trigger.family,
                seed=self._seed + number,
            )
        self.newest = tuple(found)
        left = [t for t in self.newest if t.found and not self._is_harder(t)]
        return left or [t for t in self.first if self._works(model, t)]

    def _works(self, model: nn.Module, trigger: RecoveredTrigger) -> bool:
        success = estimated_success(model, trigger, self._samples.holdout)
        return success > self._config.success_left

    def smallest(self) -> tuple[RecoveredTrigger, ...]:
        """Return the smallest of each family that was recovered last."""
        found: dict[Family, RecoveredTrigger] = {}
        for trigger in sorted(self.newest, key=lambda t: (not t.found, t.norm)):
            found.setdefault(trigger.family, trigger)
        return tuple(found.values())

    def is_usual(self) -> bool:
        """Whether what was recovered last is as large as other classes' triggers."""
        return all(
            self._beside_usual(trigger) >= self._config.usual
            for trigger in self.newest
            if trigger.found
        )

    def _is_harder(self, trigger: RecoveredTrigger) -> bool:
        usual = self._usual[trigger.family]
        halfway = (usual + trigger.largest) / 2
        return trigger.norm >= min(self._config.harder * usual, halfway)

    def _beside_usual(self, trigger: RecoveredTrigger) -> float:
        return trigger.norm / self._usual[trigger.family]


def convicted_by_triggers(verdict: Verdict, config: VerdictConfig) -> bool:
    """Whether triggers had a say in it, rather than unlearning alone."""
    return verdict.p_inversion <= config.weak


def still_speaks(before: Verdict, after: Verdict, config: VerdictConfig) -> bool:
    """Whether what convicted the model as it came still convicts it.

    before, after: verdicts on the model as it came and as it is now.
    """
    if after.level == "none":
        return False
    if after.target != before.target:
        return after.level == "strong"
    if convicted_by_triggers(before, config):
        return convicted_by_triggers(after, config)
    return LEVELS.index(after.level) >= LEVELS.index(before.level)


def _usual_sizes(
    triggers: Sequence[RecoveredTrigger], target: int | None
) -> dict[Family, float]:
    """Return the median size of the other classes' triggers, by family.

    A class that no trigger was found for counts as the largest there is.
    """
    sizes: dict[Family, list[float]] = {}
    for trigger in triggers:
        if trigger.target not in (target, None):
            sizes.setdefault(trigger.family, []).append(trigger.norm)
    return {family: median(norms) for family, norms in sizes.items()}
