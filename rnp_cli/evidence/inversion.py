"""Trigger inversion: the smallest change of images that turns them to a class.

After Wang et al., "Neural Cleanse", S&P 2019: for each class a mask and a pattern are
optimised so that clean images, with the pattern blended in where the mask is, go to the
class, and the mask is small. A class that a far smaller mask reaches than the others
is suspect. Departures:

- All classes are optimised in one batch, each with a weight on its size of its own.
- One more has no class of its own: it turns every image *away* from its true class. A
  patch that moves every class on to another ("all to all") reaches no single class, and
  shows here. It often ends far from the smallest, so the best of several is taken.
- A trigger need not be a patch: what is added to the whole image, or warps it, is
  searched for in the same way (``evidence/triggers/``, a file for each family).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore
from rnp_cli.evidence.recovered import (
    RecoveredTrigger,
    estimated_success,
    to_turn,
)
from rnp_cli.evidence.triggers import FAMILIES, Change, Family

STAGE = "invert"
_LOWEST_WEIGHT, _HIGHEST_WEIGHT = 1e-3, 1e3  # of a size, beside the first weight


class InversionConfig(BaseModel):
    """Knobs of the inversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(140, ge=1)
    images_per_class: int = Field(16, ge=1)
    success: float = Field(0.95, gt=0, le=1)
    """Share of the clean images of other classes that a trigger must turn to its class
    to count as found."""
    free_attempts: int = Field(4, ge=1)
    """Attempts at the trigger that turns images to any other class, whichever; the
    smallest counts."""
    pixels_at_once: int = Field(2**20, ge=1)
    """Pixels of all images that one step holds; where the classes need more, they are
    searched in turns. Less takes less memory."""


def invert_triggers(
    model: nn.Module,
    samples: SplitSamples,
    config: InversionConfig,
    *,
    targets: Sequence[int | None],
    seed: int,
    family: Family = "overlay",
    near: Sequence[Change | None] = (),
    listen: Listener = ignore,
) -> tuple[RecoveredTrigger, ...]:
    """Recover a trigger for each of ``targets``; None is "any other class".

    model: images (batch, channel, height, width) in [0, 1] to logits. It is left as it
    is. near: for each target, if any, what was found before, near which to stay.
    """
    height, width = samples.fit.images.shape[2:]
    most = config.pixels_at_once // (height * width * config.images_per_class)
    most = max(1, most)
    places = [*near] or [None] * len(targets)
    rows = list(zip(targets, places, strict=True))
    groups = [rows[i : i + most] for i in range(0, len(rows), most)]
    steps = max(1, round(config.steps * FAMILIES[family].effort))
    listen(StageStarted(stage=STAGE, total=steps * len(groups)))
    found: list[RecoveredTrigger] = []
    generator = torch.Generator().manual_seed(seed)
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    for number, group in enumerate(groups):
        search = _Search(frozen, samples.fit, group, config, family, generator)
        for step in range(1, steps + 1):
            search.step()
            listen(StepDone(stage=STAGE, step=number * steps + step))
        found += search.triggers(samples.holdout)
    listen(StageDone(stage=STAGE, summary=_summary(found, FAMILIES[family].unit)))
    return tuple(found)


def invert_each(
    model: nn.Module,
    samples: SplitSamples,
    config: InversionConfig,
    *,
    targets: Sequence[int | None],
    seed: int,
    family: Family = "overlay",
    listen: Listener = ignore,
) -> tuple[RecoveredTrigger, ...]:
    """Recover a trigger for each target, as ``invert_triggers`` does.

    For "any other class" it is the smallest of ``free_attempts``.
    """
    attempts = [
        target
        for target in targets
        for _ in range(config.free_attempts if target is None else 1)
    ]
    found = invert_triggers(
        model,
        samples,
        config,
        targets=attempts,
        family=family,
        seed=seed,
        listen=listen,
    )
    smallest: dict[int | None, RecoveredTrigger] = {}
    for trigger in sorted(found, key=lambda t: (not t.found, t.norm)):
        smallest.setdefault(trigger.target, trigger)
    return tuple(smallest[target] for target in targets)


def _summary(found: Sequence[RecoveredTrigger], unit: str) -> str:
    """Name the smallest."""
    working = [trigger for trigger in found if trigger.found]
    if not working:
        return "no trigger was found"
    smallest = min(working, key=lambda trigger: trigger.norm)
    goal = "any other class" if smallest.target is None else f"class {smallest.target}"
    return f"the smallest trigger, {smallest.norm:.3g} {unit}, leads to {goal}"


class _Search:
    """The triggers of some targets, optimised together."""

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        rows: Sequence[tuple[int | None, Change | None]],
        config: InversionConfig,
        family: Family,
        generator: torch.Generator,
    ) -> None:
        device = samples.images.device
        channels, height, width = samples.images.shape[1:]
        targets = [target for target, _ in rows]
        self._model = model
        self._samples = samples
        self._targets = targets
        goals = [[-1 if target is None else target] for target in targets]
        self._goals = torch.tensor(goals, device=device)  # (row, 1)
        self._is_free = self._goals < 0  # of a class: any that is not the true one
        self._config = config
        self._generator = generator
        everything = torch.arange(len(samples))
        chosen = {target: to_turn(model, samples, target) for target in {*targets}}
        self._images = [
            chosen[target] if len(chosen[target]) else everything for target in targets
        ]
        kind = FAMILIES[family]
        shape = (channels, height, width)
        self._candidates = kind(len(rows), shape, generator, device)
        for row, (_, change) in enumerate(rows):
            if change is not None:
                self._candidates.keep_near(row, change.extent(), generator)
        self._optimizer = torch.optim.Adam(
            self._candidates.parameters, lr=kind.learning_rate, betas=(0.5, 0.9)
        )
        self._first_weight = kind.first_weight
        self._weight = torch.full((len(rows),), kind.first_weight, device=device)
        self._success = torch.zeros(len(rows), device=device)  # a running mean
        self._norm = torch.full((len(rows),), torch.inf, device=device)

    def step(self) -> None:
        """Move all candidates once, and keep those that are the best so far."""
        images, labels = self._draw()
        stamped = self._candidates.stamp(images)
        norm = self._candidates.sizes()
        rows, count = labels.shape
        logits = self._model(stamped.flatten(0, 1)).view(rows, count, -1)
        loss, turned = self._judge(logits, labels)
        self._optimizer.zero_grad()
        (loss + self._weight * norm).sum().backward()
        with torch.no_grad():  # and without waiting for the device
            self._success.lerp_(turned, 0.2)
            works = self._success >= self._config.success
            better = works & (norm < self._norm)
            self._norm = torch.where(better, norm, self._norm)
            self._candidates.keep(better)
            weight = torch.where(works, self._weight * 1.1, self._weight / 1.15)
            self._weight = weight.clamp(
                _LOWEST_WEIGHT * self._first_weight,
                _HIGHEST_WEIGHT * self._first_weight,
            )
        self._optimizer.step()

    def triggers(self, holdout: Samples) -> list[RecoveredTrigger]:
        """Return what was found, with its success on samples not used for it."""
        return [self._trigger(row, holdout) for row in range(len(self._targets))]

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Images (row, count, channel, height, width) and labels (row, count)."""
        count = self._config.images_per_class
        chosen = torch.stack(
            [
                others[torch.randint(len(others), (count,), generator=self._generator)]
                for others in self._images
            ]
        ).to(self._samples.images.device)
        return self._samples.images[chosen], self._samples.labels[chosen]

    def _judge(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss (row,) and the share of images turned (row,)."""
        says = logits.log_softmax(2)
        goals = torch.where(self._is_free, labels, self._goals)
        of_goal = says.gather(2, goals[:, :, None])[:, :, 0]
        away = -torch.log(1 - of_goal.exp() + 1e-4)
        loss = torch.where(self._is_free, away, -of_goal).mean(1)
        reached = logits.argmax(2) == goals
        return loss, (reached != self._is_free).float().mean(1)

    def _trigger(self, row: int, holdout: Samples) -> RecoveredTrigger:
        norm = float(self._norm[row])
        found = math.isfinite(norm)
        change = self._candidates.kept(row)
        trigger = RecoveredTrigger(
            target=self._targets[row],
            change=change,
            norm=norm if found else change.largest,
            success=0.0,
            found=found,
        )
        success = estimated_success(self._model, trigger, holdout)
        return replace(trigger, success=success)
