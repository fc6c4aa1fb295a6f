"""Trigger inversion: the smallest change of images that turns them to a class.

After Wang et al., "Neural Cleanse", S&P 2019: for each class a mask and a pattern are
optimised so that clean images, with the pattern blended in where the mask is, go to the
class, and the mask is small. A class that a far smaller mask reaches than the others
is suspect. Departures:

- All classes are optimised in one batch, each with a weight on its size of its own
  (``evidence/search.py``).
- One more has no class of its own: it turns every image *away* from its true class. A
  patch that moves every class on to another ("all to all") reaches no single class, and
  shows here. It often ends far from the smallest, so the best of several is taken.
- A trigger need not be a patch: what is added to the whole image, or warps it, is
  searched for in the same way (``evidence/triggers/``, a file for each family).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence
from functools import partial

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from rnp_cli.defense.samples import SplitSamples
from rnp_cli.device import Replayed
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.search import Goal, Search, move
from rnp_cli.evidence.triggers import FAMILIES, Family

STAGE = "invert"


class InversionConfig(BaseModel):
    """Knobs of the inversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(100, ge=1)
    images_per_class: int = Field(12, ge=1)
    success: float = Field(0.95, gt=0, le=1)
    """Share of the clean images of other classes that a trigger must turn to its class
    to count as found."""
    free_attempts: int = Field(4, ge=1)
    """Attempts at the trigger that turns images to any other class, whichever; the
    smallest counts."""
    pixels_at_once: int = Field(2**20, ge=1)
    """Pixels of all images that one step holds; where the classes need more, they are
    searched in turns. Less takes less memory."""


def goals_of(
    targets: Iterable[int | None],
    family: Family = "overlay",
    *,
    source: int | None = None,
) -> tuple[Goal, ...]:
    """Return a goal for each target, anywhere in the image."""
    return tuple(Goal(target, family, source=source) for target in targets)


def invert_triggers(
    model: nn.Module,
    samples: SplitSamples,
    config: InversionConfig,
    goals: Sequence[Goal],
    *,
    seed: int,
    listen: Listener = ignore,
) -> tuple[RecoveredTrigger, ...]:
    """Recover a trigger for each of the goals, as many at once as the config allows.

    model: images (batch, channel, height, width) in [0, 1] to logits. It is left as it
    is.
    """
    height, width = samples.fit.images.shape[2:]
    most = max(1, config.pixels_at_once // (height * width * config.images_per_class))
    numbers = range(len(goals))
    plans = [_by_family(numbers[i : i + most], goals) for i in numbers[::most]]
    steps = {goal.family: _steps(goal.family, config) for goal in goals}
    total = sum(max(steps[family] for family in plan) for plan in plans)
    listen(StageStarted(stage=STAGE, total=total))
    found: dict[int, RecoveredTrigger] = {}
    generators = {goal.family: torch.Generator().manual_seed(seed) for goal in goals}
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    done = 0
    for plan in plans:
        searches = {
            family: Search(
                frozen,
                samples.fit,
                [goals[number] for number in some],
                steps=steps[family],
                images_each=config.images_per_class,
                success=config.success,
                generator=generators[family],
            )
            for family, some in plan.items()
        }
        taken = 0
        for last in sorted({steps[family] for family in plan}):  # of some of them
            going = [searches[family] for family in plan if steps[family] >= last]
            step = Replayed(partial(move, frozen, going), samples.fit.images.device)
            while taken < last:
                step()
                taken += 1
                listen(StepDone(stage=STAGE, step=done + taken))
        done += taken
        for family, some in plan.items():
            triggers = searches[family].triggers(samples.holdout)
            found |= zip(some, triggers, strict=True)
    listen(StageDone(stage=STAGE, summary=_summary(found.values())))
    return tuple(found[number] for number in numbers)


def invert_each(
    model: nn.Module,
    samples: SplitSamples,
    config: InversionConfig,
    goals: Sequence[Goal],
    *,
    seed: int,
    listen: Listener = ignore,
) -> tuple[RecoveredTrigger, ...]:
    """Recover a trigger for each goal, as ``invert_triggers`` does.

    For "any other class" it is the smallest of ``free_attempts``.
    """
    attempts = [
        number
        for number, goal in enumerate(goals)
        for _ in range(config.free_attempts if goal.target is None else 1)
    ]
    wanted = [goals[number] for number in attempts]
    found = invert_triggers(model, samples, config, wanted, seed=seed, listen=listen)
    smallest: dict[int, RecoveredTrigger] = {}
    for number, trigger in sorted(
        zip(attempts, found, strict=True),
        key=lambda pair: (not pair[1].found, pair[1].norm),
    ):
        smallest.setdefault(number, trigger)
    return tuple(smallest[number] for number in range(len(goals)))


def _by_family(
    numbers: Sequence[int], goals: Sequence[Goal]
) -> dict[Family, list[int]]:
    plan: dict[Family, list[int]] = {}
    for number in numbers:
        plan.setdefault(goals[number].family, []).append(number)
    return plan


def _steps(family: Family, config: InversionConfig) -> int:
    return max(1, round(config.steps * FAMILIES[family].effort))


def _summary(found: Collection[RecoveredTrigger]) -> str:
    """Name the smallest of each family."""
    said = []
    for family, kind in FAMILIES.items():
        some = [trigger for trigger in found if trigger.family == family]
        working = [trigger for trigger in some if trigger.found]
        if working:
            best = min(working, key=lambda trigger: trigger.norm)
            goal = "any other class" if best.target is None else f"class {best.target}"
            way = "" if best.source is None else f"from class {best.source} "
            size = f"{best.norm:.3g} {kind.unit}"
            said.append(f"the smallest {family} ({size}) leads {way}to {goal}")
        elif some:
            said.append(f"no {family} was found")
    return "; ".join(said)
