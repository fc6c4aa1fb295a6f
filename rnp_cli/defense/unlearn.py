"""Unlearn: gradient ascent on clean samples until the clean skill is gone (§3.1).

Departures from the authors' code: the stop is measured in eval mode on samples that
the ascent never saw; there is no learning-rate schedule, instead the rate halves when
one epoch leaps over the way down or turns NaN (the epoch is taken back), and doubles
when the accuracy stands still; the floor follows the number of classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from rnp_cli.defense.augment import Augmentation, augment
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import clean_accuracy, logits_of
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "unlearn"


class UnlearnConfig(BaseModel):
    """Knobs of the ascent; defaults are the authors' code's unless said otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    batch_size: int = Field(128, ge=2)
    floor_above_chance: float = Field(0.1, gt=0, lt=1)
    """Clean skill that may be left: the floor is chance + this share of the rest,
    0.19 for ten classes (the authors stop at 0.20)."""
    max_epochs: int = Field(60, ge=1)
    max_backoffs: int = Field(8, ge=0)
    longest_drop: float = Field(0.5, gt=0, le=1)
    """Share of the way to the floor that one epoch may take."""


@dataclass(frozen=True)
class Epoch:
    """One accepted epoch of the ascent. Accuracy on the holdout, eval mode.

    mistaken: holdout samples given to each class that is not theirs, by class.
    """

    clean_accuracy: float
    loss: float
    learning_rate: float
    mistaken: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Unlearned:
    """The unlearned model and how it came about."""

    model: nn.Module
    floor: float
    history: tuple[Epoch, ...]
    backoffs: int


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
    chance = 1 / samples.num_classes
    floor = chance + config.floor_above_chance * (1 - chance)
    listen(StageStarted(stage=STAGE, total=config.max_epochs))
    ascent = _Ascent(model, config, augmentation, seed)
    start = accuracy = clean_accuracy(model, samples.holdout)
    if start - floor < config.floor_above_chance * (1 - chance):
        raise _too_little_skill(start, floor, len(samples.holdout))
    # Of a small holdout one image alone may be half the way.
    longest = max(config.longest_drop * (start - floor), 2 / len(samples.holdout))
    history: list[Epoch] = []
    for _ in range(config.max_epochs):
        if accuracy <= floor:
            break
        loss = ascent.epoch(samples.fit)
        reached, mistaken = ascent.measure(samples.holdout)
        leapt = accuracy - reached > longest
        sound = math.isfinite(loss) and math.isfinite(reached)
        if not sound or (leapt and ascent.backoffs < config.max_backoffs):
            ascent.take_back()
            continue
        accuracy = reached
        history.append(Epoch(accuracy, loss, ascent.rate, mistaken))
        ascent.keep(faster=_stands_still(history, start - floor))
        watch(ascent.model, history[-1])
        listen(StepDone(stage=STAGE, step=len(history), clean_accuracy=accuracy))
    if accuracy > floor:
        raise _floor_not_reached(start, accuracy, floor, config)
    summary = f"clean accuracy {start:.1%} to {accuracy:.1%} in {len(history)} epochs"
    listen(StageDone(stage=STAGE, summary=summary))
    return Unlearned(ascent.model, floor, tuple(history), ascent.backoffs)


class _Ascent:
    """The model on its way up the loss, with the last accepted epoch to go back to."""

    def __init__(
        self,
        model: nn.Module,
        config: UnlearnConfig,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self.model = copy.deepcopy(model).requires_grad_(True)
        self.backoffs = 0
        self._config = config
        self._augmentation = augmentation
        self._generator = torch.Generator().manual_seed(seed)
        self._optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self._remember()

    @property
    def rate(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def epoch(self, samples: Samples) -> float:
        """One pass of ascent; return the mean cross-entropy, which may be NaN."""
        self.model.train()
        losses = []
        for batch in samples.batches(self._config.batch_size, self._generator):
            images = augment(batch.images, self._augmentation, self._generator)
            loss = F.cross_entropy(self.model(images), batch.labels)
            self._optimizer.zero_grad()
            (-loss).backward()
            self._optimizer.step()
            losses.append(loss.detach())
        self.model.eval()
        return torch.stack(losses).mean().item()

    def measure(self, samples: Samples) -> tuple[float, tuple[int, ...]]:
        """Clean accuracy, and the wrong predictions by class.

        NaN where the last step has spoiled weights or logits.
        """
        logits = logits_of(self.model, samples.images)
        for tensor in (*self.model.state_dict().values(), logits):
            if not bool(torch.isfinite(tensor).all()):
                return math.nan, ()
        predicted = logits.argmax(1)
        right = predicted == samples.labels
        wrong = torch.bincount(predicted[~right], minlength=logits.shape[1])
        return right.float().mean().item(), tuple(wrong.tolist())

    def take_back(self) -> None:
        """Undo the epoch and go on at half the rate."""
        rate = self.rate / 2
        self.model.load_state_dict(self._weights)
        self._optimizer.load_state_dict(copy.deepcopy(self._momentum))
        self._set_rate(rate)
        self.backoffs += 1

    def keep(self, *, faster: bool) -> None:
        """Accept the epoch."""
        if faster:
            self._set_rate(self.rate * 2)
        self._remember()

    def _set_rate(self, rate: float) -> None:
        self._optimizer.param_groups[0]["lr"] = rate

    def _remember(self) -> None:
        self._weights = copy.deepcopy(self.model.state_dict())
        self._momentum = copy.deepcopy(self._optimizer.state_dict())


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
        hint="Give more clean samples; or more epochs or a higher rate: "
        "unlearn.max_epochs and unlearn.learning_rate in the file given with --config.",
    )
