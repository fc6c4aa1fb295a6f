"""Trigger inversion: the smallest change of images that turns them to a class.

After Wang et al., "Neural Cleanse", S&P 2019: for each class a mask and a pattern are
optimised so that clean images, with the pattern blended in where the mask is, go to the
class, and the mask is small. A class that a far smaller mask reaches than the others
is suspect. Departures:

- All classes are optimised in one batch, each with a weight on its mask of its own.
- One more mask has no class of its own: it turns every image *away* from its true
  class. A patch that moves every class on to another ("all to all") reaches no single
  class, and shows here.
- The learning rate is high and the start is a mask over the whole image: small,
  sharply bounded triggers are found within a hundred steps where a lower rate settles
  in a local optimum.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import logits_of
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "invert"
_FIRST_MASK = 0.2  # over the whole image


class InversionConfig(BaseModel):
    """Knobs of the inversion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(140, ge=1)
    images_per_class: int = Field(16, ge=1)
    learning_rate: float = Field(0.6, gt=0)
    success: float = Field(0.95, gt=0, le=1)
    """Share of images that a trigger must turn to count as found."""
    first_weight: float = Field(0.01, gt=0)
    """Of the mask's size in the loss; it rises while the trigger works."""
    pixels_at_once: int = Field(2**20, ge=1)
    """Of all images in one step; more classes than that holds take turns."""


@dataclass(frozen=True, eq=False)
class RecoveredTrigger:
    """The smallest trigger found for a class; an estimate, not the attacker's own.

    target: the class, or None for the trigger that turns images to any other class.
    mask: (1, height, width) in [0, 1]. pattern: (channel, height, width) in [0, 1].
    norm: the mask's sum, in pixels; the whole image where no trigger was found.
    success: share of the held-out clean samples that it turns (those of the target
    left out), the *estimated* attack success rate.
    """

    target: int | None
    mask: Tensor
    pattern: Tensor
    norm: float
    success: float
    found: bool

    def stamp(self, images: Tensor) -> Tensor:
        """Put the trigger on images (batch, channel, height, width) in [0, 1]."""
        mask, pattern = self.mask.to(images.device), self.pattern.to(images.device)
        return (1 - mask) * images + mask * pattern


def invert_triggers(
    model: nn.Module,
    samples: SplitSamples,
    config: InversionConfig,
    *,
    targets: Sequence[int | None],
    seed: int,
    listen: Listener = ignore,
) -> tuple[RecoveredTrigger, ...]:
    """Recover a trigger for each of ``targets``; None is "any other class".

    model: images (batch, channel, height, width) in [0, 1] to logits. It is left as it
    is.
    """
    height, width = samples.fit.images.shape[2:]
    most = config.pixels_at_once // (height * width * config.images_per_class)
    most = max(1, most)
    groups = [targets[i : i + most] for i in range(0, len(targets), most)]
    listen(StageStarted(stage=STAGE, total=config.steps * len(groups)))
    found: list[RecoveredTrigger] = []
    generator = torch.Generator().manual_seed(seed)
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    for number, group in enumerate(groups):
        search = _Search(frozen, samples.fit, group, config, generator)
        for step in range(1, config.steps + 1):
            search.step()
            listen(StepDone(stage=STAGE, step=number * config.steps + step))
        found += search.triggers(samples.holdout)
    smallest = min(found, key=lambda trigger: trigger.norm)
    goal = "any other class" if smallest.target is None else f"class {smallest.target}"
    summary = f"the smallest mask, {smallest.norm:.1f} pixels, leads to {goal}"
    listen(StageDone(stage=STAGE, summary=summary))
    return tuple(found)


def estimated_success(
    model: nn.Module, trigger: RecoveredTrigger, samples: Samples
) -> float:
    """Return the share of clean samples that a recovered trigger turns on a model.

    Samples of the target do not count; 0 where no trigger was found, or no sample is
    left. Without a target, samples that the model gets wrong anyway are turned, too.
    """
    others = _others(samples.labels, trigger.target)
    if not trigger.found or not len(others):
        return 0.0
    chosen = samples.take(others)
    predicted = logits_of(model, trigger.stamp(chosen.images)).argmax(1)
    if trigger.target is None:
        return (predicted != chosen.labels).float().mean().item()
    return (predicted == trigger.target).float().mean().item()


class _Search:
    """The masks and patterns of some targets, optimised together."""

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        targets: Sequence[int | None],
        config: InversionConfig,
        generator: torch.Generator,
    ) -> None:
        device = samples.images.device
        channels, height, width = samples.images.shape[1:]
        rows = len(targets)
        self._model = model
        self._samples = samples
        self._targets = targets
        self._config = config
        self._generator = generator
        everything = torch.arange(len(samples))
        others = (_others(samples.labels, target) for target in targets)
        self._images = [some if len(some) else everything for some in others]
        self._mask = _start((rows, 1, height, width), generator, device)
        with torch.no_grad():
            self._mask += torch.logit(torch.tensor(_FIRST_MASK))
        self._pattern = _start((rows, channels, height, width), generator, device)
        self._optimizer = torch.optim.Adam(
            [self._mask, self._pattern], lr=config.learning_rate, betas=(0.5, 0.9)
        )
        self._weight = torch.full((rows,), config.first_weight, device=device)
        self._success = torch.zeros(rows, device=device)  # a running mean
        self._norm = torch.full((rows,), torch.inf, device=device)
        self._best_mask = torch.ones(rows, 1, height, width, device=device)
        self._best_pattern = self._pattern.detach().sigmoid()

    def step(self) -> None:
        """Move all masks and patterns once, and keep those that are the best so far."""
        images, labels = self._draw()
        mask, pattern = self._mask.sigmoid(), self._pattern.sigmoid()
        stamped = (1 - mask[:, None]) * images + (mask * pattern)[:, None]
        rows, count = labels.shape
        logits = self._model(stamped.flatten(0, 1)).view(rows, count, -1)
        loss, turned = self._judge(logits, labels)
        norm = mask.sum((1, 2, 3))
        self._optimizer.zero_grad()
        (loss + self._weight * norm).sum().backward()
        self._optimizer.step()
        with torch.no_grad():
            self._success.lerp_(turned, 0.2)
            works = self._success >= self._config.success
            better = works & (norm < self._norm)
            self._norm[better] = norm[better]
            self._best_mask[better] = mask[better]
            self._best_pattern[better] = pattern[better]
            weight = torch.where(works, self._weight * 1.1, self._weight / 1.15)
            self._weight = weight.clamp(1e-5, 10)

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
        predicted = logits.argmax(2)
        losses, turned = [], []
        for row, target in enumerate(self._targets):
            if target is None:
                true = logits[row].softmax(1).gather(1, labels[row][:, None])
                losses.append(-torch.log(1 - true + 1e-4).mean())
                turned.append((predicted[row] != labels[row]).float().mean())
            else:
                goal = torch.full_like(labels[row], target)
                losses.append(F.cross_entropy(logits[row], goal))
                turned.append((predicted[row] == target).float().mean())
        return torch.stack(losses), torch.stack(turned)

    def _trigger(self, row: int, holdout: Samples) -> RecoveredTrigger:
        mask = self._best_mask[row].cpu()
        trigger = RecoveredTrigger(
            target=self._targets[row],
            mask=mask,
            pattern=self._best_pattern[row].cpu(),
            norm=float(mask.sum()),
            success=0.0,
            found=bool(torch.isfinite(self._norm[row])),
        )
        success = estimated_success(self._model, trigger, holdout)
        return replace(trigger, success=success)


def _others(labels: Tensor, target: int | None) -> Tensor:
    """Return the indices of the samples that are not of the target class."""
    labels = labels.cpu()
    if target is None:
        return torch.arange(len(labels))
    return (labels != target).nonzero()[:, 0]


def _start(
    shape: tuple[int, ...], generator: torch.Generator, device: torch.device
) -> Tensor:
    noise = 0.01 * torch.randn(shape, generator=generator)
    return noise.to(device).requires_grad_(True)
