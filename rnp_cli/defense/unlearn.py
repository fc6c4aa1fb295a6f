"""Unlearn: gradient ascent on clean samples until the clean skill is gone (§3.1).

Departures from the authors' code: the stop is measured in eval mode on samples that
the ascent never saw; there is no learning-rate schedule, instead the rate halves when
one epoch leaps over the way down or turns NaN (the epoch is taken back), and doubles
when the accuracy stands still; the floor follows the number of classes; one can stop
half way, for what needs a model that still knows its classes; the first half is walked
in small steps, because where its mistakes go tells a backdoor (``evidence/label.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from rnp_cli.defense.ascent import Ascent
from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "unlearn"
_EARLY = (0.5, 0.9)  # of the clean skill is left where mistakes tell a backdoor


class UnlearnConfig(BaseModel):
    """Knobs of the ascent; defaults are the authors' code's unless said otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    batch_size: int = Field(128, ge=2)
    floor_above_chance: float = Field(0.1, gt=0, lt=1)
    """Where the ascent ends: at an accuracy of chance + this share of the rest, which
    is 0.19 for ten classes (the authors stop at 0.20)."""
    max_epochs: int = Field(100, ge=1)
    max_backoffs: int = Field(12, ge=0)
    longest_drop: float = Field(0.5, gt=0, le=1)
    """Share of the way down to that floor that one epoch may take; an epoch that goes
    further is taken back, and tried at half the rate."""
    longest_early_drop: float = Field(0.12, gt=0, le=1)
    """The same on the first half of the way: where the mistakes go there is what tells
    a backdoor, so it is walked slowly."""


@dataclass(frozen=True)
class Epoch:
    """One accepted epoch of the ascent. Accuracy on the holdout, eval mode.

    mistaken: of all clean samples those given to a class that is not theirs, by class.
    """

    clean_accuracy: float
    loss: float
    learning_rate: float
    mistaken: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Unlearned:
    """The unlearned model and how it came about.

    start: clean accuracy on the holdout before. mistaken: before, as in ``Epoch``.
    """

    model: nn.Module
    start: float
    mistaken: tuple[int, ...]
    floor: float
    history: tuple[Epoch, ...]
    backoffs: int

    def is_early(self, epoch: Epoch) -> bool:
        """Whether a tenth to a half of the clean skill was lost then."""
        left = _skill_left(epoch.clean_accuracy, self.start, len(self.mistaken))
        return _EARLY[0] <= left <= _EARLY[1]


_Measured = tuple[float, tuple[int, ...]]  # clean accuracy, mistakes by class
Watcher = Callable[[nn.Module, Epoch], None]


def look_away(model: nn.Module, epoch: Epoch) -> None:
    """Watch nothing."""


def unlearn(
    model: nn.Module,
    samples: SplitSamples,
    config: UnlearnConfig,
    *,
    augmentation: Augmentation,
    seed: int,
    watch: Watcher = look_away,
    listen: Listener = ignore,
) -> Unlearned:
    """Return a copy of ``model`` without its clean skill.

    watch: is shown the model, which goes on changing, after each accepted epoch.
    Raises DefenseFailed when the floor is not reached.
    """
    ascent, top, floor = _begin(model, samples, config, augmentation, seed, listen)
    start, _ = top
    history: list[Epoch] = []
    for epoch in _way_down(ascent, samples, config, start, floor):
        history.append(epoch)
        accuracy = epoch.clean_accuracy
        watch(ascent.model, epoch)
        listen(StepDone(stage=STAGE, step=len(history), clean_accuracy=accuracy))
    accuracy = history[-1].clean_accuracy if history else start
    if accuracy > floor:
        raise _floor_not_reached(start, accuracy, floor, config)
    return _end(ascent, top, floor, history, listen)


def unlearn_half(
    model: nn.Module,
    samples: SplitSamples,
    config: UnlearnConfig,
    *,
    augmentation: Augmentation,
    seed: int,
    listen: Listener = ignore,
) -> Unlearned:
    """Return the last copy of ``model`` on the way that has half its skill left.

    Its accuracy is above the middle between the start and the floor that ``unlearn``
    goes to, which the next epoch went below. ``floor`` of the result is that middle.
    Raises DefenseFailed when the middle is not reached.
    """
    ascent, top, floor = _begin(model, samples, config, augmentation, seed, listen)
    start, _ = top
    middle = (start + floor) / 2
    history: list[Epoch] = []
    for epoch in _way_down(ascent, samples, config, start, floor):
        accuracy = epoch.clean_accuracy
        if accuracy <= middle:
            ascent.go_back()
            return _end(ascent, top, middle, history, listen)
        history.append(epoch)
        listen(StepDone(stage=STAGE, step=len(history), clean_accuracy=accuracy))
    accuracy = history[-1].clean_accuracy if history else start
    raise _floor_not_reached(start, accuracy, middle, config)


def _begin(
    model: nn.Module,
    samples: SplitSamples,
    config: UnlearnConfig,
    augmentation: Augmentation,
    seed: int,
    listen: Listener,
) -> tuple[Ascent, _Measured, float]:
    """Return the ascent, what is measured before it, and its floor."""
    chance = 1 / samples.num_classes
    floor = chance + config.floor_above_chance * (1 - chance)
    listen(StageStarted(stage=STAGE, total=config.max_epochs))
    ascent = Ascent(
        model,
        augmentation,
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        batch_size=config.batch_size,
        seed=seed,
    )
    top = ascent.measure(samples)
    start, _ = top
    if math.isnan(start):
        raise DefenseFailed(
            "The model holds values that are not finite, or answers with such.",
            hint="It cannot be judged; ask for another copy of the file.",
        )
    if start - floor < config.floor_above_chance * (1 - chance):
        raise _too_little_skill(start, floor, len(samples.holdout))
    return ascent, top, floor


def _way_down(
    ascent: Ascent,
    samples: SplitSamples,
    config: UnlearnConfig,
    start: float,
    floor: float,
) -> Iterator[Epoch]:
    """Yield each epoch that is sound and no leap, down to the floor if it is reached.

    The ascent can still go back behind an epoch until the next one is asked for.
    """
    accuracy = start
    history: list[Epoch] = []
    for _ in range(config.max_epochs):
        if accuracy <= floor:
            break
        loss = ascent.epoch(samples.fit)
        reached, mistaken = ascent.measure(samples)
        share = config.longest_drop
        if _skill_left(accuracy, start, samples.num_classes) > _EARLY[0]:
            share = min(share, config.longest_early_drop)
        # Of a small holdout one image alone may be half the way.
        longest = max(share * (start - floor), 2 / len(samples.holdout))
        leapt = accuracy - reached > longest
        sound = math.isfinite(loss) and math.isfinite(reached)
        if not sound or (leapt and ascent.backoffs < config.max_backoffs):
            ascent.take_back()
            continue
        accuracy = reached
        history.append(Epoch(accuracy, loss, ascent.rate, mistaken))
        yield history[-1]
        ascent.keep(faster=_stands_still(history, start - floor))


def _skill_left(accuracy: float, start: float, classes: int) -> float:
    """Return the share that is left of the accuracy beyond chance."""
    chance = 1 / classes
    return (accuracy - chance) / (start - chance)


def _end(
    ascent: Ascent,
    top: _Measured,
    floor: float,
    history: list[Epoch],
    listen: Listener,
) -> Unlearned:
    start, mistaken = top
    accuracy = history[-1].clean_accuracy if history else start
    summary = f"clean accuracy {start:.1%} to {accuracy:.1%} in {len(history)} epochs"
    listen(StageDone(stage=STAGE, summary=summary))
    return Unlearned(
        model=ascent.model,
        start=start,
        mistaken=mistaken,
        floor=floor,
        history=tuple(history),
        backoffs=ascent.backoffs,
    )


def _stands_still(history: list[Epoch], way: float) -> bool:
    """Whether three epochs at one rate went less than a fiftieth of the way down."""
    recent = history[-3:]
    if len(recent) < 3 or len({epoch.learning_rate for epoch in recent}) > 1:
        return False
    return recent[0].clean_accuracy - recent[-1].clean_accuracy < way / 50


def _too_little_skill(start: float, floor: float, held_out: int) -> DefenseFailed:
    return DefenseFailed(
        f"The model labels {start:.1%} of the {held_out} samples held out correctly, "
        f"too close to the floor of {floor:.1%} for unlearning to tell anything.",
        hint="Give more clean samples, and of the model's own classes.",
    )


def _floor_not_reached(
    start: float, accuracy: float, floor: float, config: UnlearnConfig
) -> DefenseFailed:
    return DefenseFailed(
        f"Unlearning went from {start:.1%} to {accuracy:.1%} clean accuracy in "
        f"{config.max_epochs} attempts at an epoch, and did not reach its floor of "
        f"{floor:.1%}. Without it nothing can be told about the model.",
        hint="Give more clean samples; or, with `rnp sanitize --config FILE`, more "
        "epochs or a higher rate: unlearn.max_epochs and unlearn.learning_rate.",
    )
