"""Repair: take away what recovered triggers still do, and keep the rest.

Not in the paper, which prunes alone. All weights move a little, on the clean samples as
they are, held to what the original model says of them (distillation, Hinton et al.,
2015), and on the same samples stamped with the triggers recovered so far, under their
true labels. Then triggers are recovered anew from the repaired copy, which closes the
loop: a repair that only unlearns one trigger leaves the next one for the next round
(universal adversarial training, Shafahi et al., AAAI 2020). It ends where nothing is
left to recover: further rounds would fit triggers that are not the attacker's, and were
seen to bring the attack back.

What covers the whole image is stamped after the augmentation, since it has its place. A
patch is stamped before it on half of the images, so that it is shifted with them.
BatchNorm statistics stay: a few hundred samples are too few for new ones.

Adam moves every weight by about its rate, so the wider a layer, the farther one step
takes what it puts out. So a step may move a matrix of weights only by a share of its
spectral norm (after Yang, Simon and Bernstein, "A Spectral Condition for Feature
Learning", arXiv 2310.17813): at the rate that small networks bear, one round ruined
every ResNet-18 of 64 to 512 channels that was repaired.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation, augment
from rnp_cli.defense.prune import zero_rows
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import clean_accuracy, logits_of
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "repair"
_ITERATIONS = 20  # come within some percent of a spectral norm


class RepairConfig(BaseModel):
    """Knobs of the repair."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_accuracy_drop: float = Field(0.05, ge=0, lt=1)
    """Clean accuracy on the holdout that pruning and repair may cost together. More is
    no repair; it counts when more than chance (95 %) separates the loss from it."""
    max_rounds: int = Field(8, ge=1)
    """How many rounds at most; each recovers triggers anew, and fits the weights
    against all that were found so far."""
    epochs: int = Field(10, ge=1)
    """Passes over the clean images in each round."""
    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of Adam at the start of a round; it falls to a tenth until the
    round ends."""
    largest_step: float = Field(0.04, gt=0)
    """The furthest that a step may move a matrix of weights, as a share of its spectral
    norm; the learning rate of layers where that is more is lowered."""
    batch_size: int = Field(64, ge=2)
    distillation: float = Field(5.0, ge=0)
    """How much it counts, beside the true labels, that the model answers clean images
    as the original does. More keeps more of its accuracy."""
    temperature: float = Field(2.0, gt=0)
    newest: float = Field(3.0, gt=0)
    """How many times as often a trigger that was found in this round is stamped as one
    that was found before. The last that are found alone are the least like the
    attacker's, and must not push the others out. A wave counts as found in every
    round."""
    shifted: float = Field(0.5, ge=0, le=1)
    """Share of patches that are laid on before images are shifted and flipped, and so
    end up elsewhere: the model unlearns them in more than one place."""
    varied: float = Field(0.5, ge=0, le=1)
    """Share of the stamped images whose trigger is changed at random, a patch around
    its place, an addition in its strength and a wave in its phase, too: the model
    unlearns more than the very one that was found."""


class Trigger(Protocol):
    """What can be laid on images, and whether it may be shifted with them."""

    @property
    def travels(self) -> bool:
        """Return False where it has its place in every image."""

    def stamp(self, images: Tensor) -> Tensor:
        """Put it on images (batch, channel, height, width) in [0, 1]."""

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Put another one that is like it on each image."""


class Recovery(Protocol):
    """How triggers are recovered, and when there is nothing left to recover."""

    def recover(self, model: nn.Module, *, number: int) -> Sequence[Trigger]:
        """Return triggers of ``model`` as it is now; none if nothing is left."""


@dataclass(frozen=True)
class Round:
    """One round: how many triggers were found for it; clean accuracy on the holdout."""

    triggers: int
    clean_accuracy: float


@dataclass(frozen=True, eq=False)
class Repaired:
    """The repaired copy. is_exhausted: nothing was left to recover at the end."""

    model: nn.Module
    rounds: tuple[Round, ...]
    is_exhausted: bool


def repair(
    model: nn.Module,
    original: nn.Module,
    samples: SplitSamples,
    recovery: Recovery,
    config: RepairConfig,
    *,
    augmentation: Augmentation,
    pruned: Mapping[str, Collection[int]],
    seed: int,
    listen: Listener = ignore,
) -> Repaired:
    """Return a copy of ``model`` that no longer follows what ``recovery`` finds.

    original: whose answers to clean samples are to be kept; ``model`` itself, or what
    it was before channels were pruned. pruned: by parameter the rows that stay zero.
    Raises DefenseFailed when the weights turn NaN.
    """
    listen(StageStarted(stage=STAGE, total=config.max_rounds))
    fitting = _Fitting(model, original, samples.fit, config, augmentation, pruned, seed)
    rounds: list[Round] = []
    found = recovery.recover(fitting.model, number=1)
    while found and len(rounds) < config.max_rounds:
        fitting.round(found)
        accuracy = clean_accuracy(fitting.model, samples.holdout)
        rounds.append(Round(len(found), accuracy))
        listen(StepDone(stage=STAGE, step=len(rounds), clean_accuracy=accuracy))
        found = recovery.recover(fitting.model, number=len(rounds) + 1)
    left = "something is" if found else "nothing is"
    summary = (
        f"{left} left to recover after {len(rounds)} of {config.max_rounds} rounds"
    )
    listen(StageDone(stage=STAGE, summary=summary))
    return Repaired(fitting.result(), tuple(rounds), is_exhausted=not found)


class _Fitting:
    """The copy on its way, and all triggers that it was ever fitted against."""

    def __init__(
        self,
        model: nn.Module,
        original: nn.Module,
        samples: Samples,
        config: RepairConfig,
        augmentation: Augmentation,
        pruned: Mapping[str, Collection[int]],
        seed: int,
    ) -> None:
        self.model = copy.deepcopy(model).eval()
        self._grads = [p.requires_grad for p in self.model.parameters()]
        self.model.requires_grad_(True)
        self._original = original
        self._samples = samples
        self._config = config
        self._augmentation = augmentation
        self._parameters = dict(self.model.named_parameters())
        self._pruned = pruned
        self._triggers: list[Trigger] = []
        self._generator = torch.Generator().manual_seed(seed)
        self._optimizer = torch.optim.Adam(_bearable(self.model, config))
        self._rates = [group["lr"] for group in self._optimizer.param_groups]

    def round(self, found: Sequence[Trigger]) -> None:
        """Fit against these triggers and all before them."""
        self._triggers += found
        size, generator = self._config.batch_size, self._generator
        for epoch in range(self._config.epochs):
            batches = list(self._samples.batches(size, generator))
            for number, batch in enumerate(batches):
                done = (epoch + number / len(batches)) / self._config.epochs
                groups = self._optimizer.param_groups
                for group, rate in zip(groups, self._rates, strict=True):
                    group["lr"] = rate * (1 - 0.9 * done)
                self._step(batch, newest=len(found))

    def result(self) -> nn.Module:
        """Return the copy, its parameters trainable where they were before."""
        for parameter, trainable in zip(
            self.model.parameters(), self._grads, strict=True
        ):
            parameter.requires_grad_(trainable)
        return self.model

    def _step(self, batch: Samples, newest: int) -> None:
        clean, stamped = self._prepare(batch.images, newest)
        logits, turned = self.model(torch.cat([clean, stamped])).chunk(2)
        loss = F.cross_entropy(logits, batch.labels)
        loss = loss + F.cross_entropy(turned, batch.labels)
        loss = loss + self._config.distillation * self._distance(logits, clean)
        if not torch.isfinite(loss):
            raise DefenseFailed(
                "The repair turned the weights to values that are not finite.",
                hint="Lower repair.learning_rate and repair.largest_step with "
                "--config, or reject the model.",
            )
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        zero_rows(self._parameters, self._pruned)

    def _prepare(self, images: Tensor, newest: int) -> tuple[Tensor, Tensor]:
        """Return the images augmented, and augmented and stamped."""
        generator = self._generator
        clean = augment(images, self._augmentation, generator)
        drawn = self._draw(len(images), newest)
        early = torch.rand(len(images), generator=generator) < self._config.shifted
        travels = torch.tensor([trigger.travels for trigger in self._triggers])
        early = (early & travels[drawn]).to(images.device).view(-1, 1, 1, 1)
        before = augment(self._stamp(images, drawn), self._augmentation, generator)
        return clean, torch.where(early, before, self._stamp(clean, drawn))

    def _draw(self, count: int, newest: int) -> Tensor:
        """Draw which trigger goes on which image."""
        often = torch.ones(len(self._triggers))
        often[-newest:] = self._config.newest
        generator = self._generator
        return often.multinomial(count, replacement=True, generator=generator)

    def _stamp(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Lay the triggers drawn on the images, some varied."""
        generator = self._generator
        varied = torch.rand(len(images), generator=generator) < self._config.varied
        stamped = images.clone()
        for number in drawn.unique().tolist():
            trigger = self._triggers[number]
            same = _rows((drawn == number) & ~varied, images)
            if len(same):  # a warp of no image is an error
                stamped[same] = trigger.stamp(images[same])
            alike = _rows((drawn == number) & varied, images)
            if len(alike):
                stamped[alike] = trigger.vary(images[alike], generator)
        return stamped

    def _distance(self, logits: Tensor, clean: Tensor) -> Tensor:
        """Divergence from the original's softened answers, scaled as usual."""
        heat = self._config.temperature
        answers = logits_of(self._original, clean)
        return heat**2 * F.kl_div(
            (logits / heat).log_softmax(1),
            (answers / heat).log_softmax(1),
            log_target=True,
            reduction="batchmean",
        )


def _bearable(model: nn.Module, config: RepairConfig) -> list[dict[str, Any]]:
    """Return the parameters with rates that their layers bear, as Adam takes them."""
    usual: list[Tensor] = []
    groups = [{"params": usual, "lr": config.learning_rate}]
    for parameter in model.parameters():
        rate = config.learning_rate
        rows = len(parameter) if parameter.ndim > 1 else 1
        if 1 < rows < parameter.numel():  # or else it is a vector
            share = _spectral_norm(parameter) / math.sqrt(parameter.numel())
            rate = min(rate, config.largest_step * share) if share else rate
        if rate < config.learning_rate:
            groups.append({"params": [parameter], "lr": rate})
        else:
            usual.append(parameter)
    return [group for group in groups if group["params"]]


def _spectral_norm(weights: Tensor) -> float:
    """Return the largest singular value of weights as a matrix, a row per output.

    By power iteration from the longest row, on the CPU, so that devices agree.
    """
    matrix = weights.detach().flatten(1).cpu().float().nan_to_num()
    vector = matrix[int(matrix.norm(dim=1).argmax())]
    for _ in range(_ITERATIONS):
        vector = matrix.T @ (matrix @ F.normalize(vector, dim=0))
    return math.sqrt(float(vector.norm()))


def _rows(chosen: Tensor, images: Tensor) -> Tensor:
    """Return the numbers of the images that are chosen, on their device."""
    return chosen.nonzero()[:, 0].to(images.device)
