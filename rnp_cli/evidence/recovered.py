"""A recovered trigger, and how many clean samples it turns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.evidence.triggers import Change, Family


@dataclass(frozen=True, eq=False)
class RecoveredTrigger:
    """The smallest trigger found for a class; an estimate, not the attacker's own.

    Or a drawing that was tried (``evidence/contest.py``), whose size is given.

    target: the class, or None for the trigger that turns images to any other class.
    source: the one class whose images it has to turn, or None for all others'.
    change: what it does to images. norm: its size, in the unit of its family; the
    largest there is where no trigger was found. success: share of the held-out clean
    samples that it turns (those that it need not turn left out), the *estimated* attack
    success rate.
    """

    target: int | None
    change: Change
    norm: float
    success: float
    found: bool
    source: int | None = None

    @property
    def family(self) -> Family:
        """Return which family of changes it is of."""
        return self.change.family

    @property
    def largest(self) -> float:
        """Return the size of a change that leaves nothing of an image."""
        return self.change.largest

    @property
    def travels(self) -> bool:
        """Return whether it may be shifted with the image that it is on."""
        return self.change.travels

    def stamp(self, images: Tensor) -> Tensor:
        """Put the trigger on images (batch, channel, height, width) in [0, 1]."""
        return self.change.stamp(images)

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Put another one that is like it on each image."""
        return self.change.vary(images, generator)


def estimated_success(
    model: nn.Module, trigger: RecoveredTrigger, samples: Samples
) -> float:
    """Return the share of clean samples that a recovered trigger turns on a model.

    Samples of the target do not count, nor those of other classes than its source, nor,
    without a target, those that the model gets wrong anyway; 0 where no trigger was
    found, or no sample is left.
    """
    if not trigger.found:
        return 0.0
    others = to_turn(model, samples, trigger.target, trigger.source)
    if not len(others):
        return 0.0
    chosen = samples.take(others)
    predicted = logits_of(model, trigger.stamp(chosen.images)).argmax(1)
    if trigger.target is None:
        return (predicted != chosen.labels).float().mean().item()
    return (predicted == trigger.target).float().mean().item()


def to_turn(
    model: nn.Module, samples: Samples, target: int | None, source: int | None = None
) -> Tensor:
    """Return the indices of the samples that a trigger has to turn, on the CPU.

    Those of other classes, or of its source alone; without a target, those that the
    model gets right.
    """
    if source is not None:
        return (samples.labels == source).cpu().nonzero()[:, 0]
    if target is not None:
        return (samples.labels != target).cpu().nonzero()[:, 0]
    right = logits_of(model, samples.images).argmax(1) == samples.labels
    return right.cpu().nonzero()[:, 0]
