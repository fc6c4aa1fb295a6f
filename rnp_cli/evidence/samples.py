"""Sample detection: images of which two versions of a model say what backdoors make.

The original and an unlearned model, which still answers triggered images as the
original did; or the original and a sanitized one, which does not any more.

The method says that an unlearned model answers triggered images confidently with the
label that the original gives, and clean ones not. Departures: the paper looks at the
loss at the end of unlearning; here several models on the way down are asked, and the
one speaks to which the image stands out most, because some backdoors show only at the
end and others are gone by then. Near the end clean images of the target class keep
their label as well, so an image is compared with clean ones that the original gives the
same class. The statistic is the logarithm of the odds of that class, which, unlike its
probability, does not saturate.

Where there is a sanitized model, it is asked instead: how far the log-odds fell that
the original gave its class. Clean images that the two differ about were doubtful to the
original, too, and could not fall far.

No triggered image has a part in it: location and scale come from the samples that the
ascent was fitted on, p-values from those that were held out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.score import clean_accuracy, logits_of
from rnp_cli.defense.unlearn import Epoch, UnlearnConfig, Unlearned, unlearn
from rnp_cli.events import Listener, ignore

_LEAST_SCALE = 1e-6  # where all images of a class give the same odds

Witness = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images (count, channel, height, width) to the classes that the original gives them,
(count,), and what speaks for a trigger, (statistic, count), high is suspect."""


class SampleConfig(BaseModel):
    """How many models on the way down are asked, and how a class is described."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stops: int = Field(8, ge=1)
    """The way down is divided into so many parts, with a model kept in each."""
    usual_samples: float = Field(5.0, gt=0)
    """How many samples of a class the average over all classes counts for."""


@dataclass(frozen=True, eq=False)
class Exposed:
    """The way down: its end, and models on it; the last of them is that of the end."""

    unlearned: Unlearned
    stops: tuple[nn.Module, ...]


@dataclass(frozen=True, eq=False)
class Judged:
    """What is said of some images; each tensor is (count,), on the CPU.

    predicted: by the original model. scores: high is suspect. p_values: the share of
    held-out clean samples with such a score or a higher one; never quite zero.
    """

    predicted: Tensor
    scores: Tensor
    p_values: Tensor


def expose(
    model: nn.Module,
    samples: SplitSamples,
    config: SampleConfig,
    ascent: UnlearnConfig,
    *,
    augmentation: Augmentation,
    seed: int,
    listen: Listener = ignore,
) -> Exposed:
    """Unlearn, and keep models on the way down.

    Raises DefenseFailed when the floor is not reached.
    """
    start = clean_accuracy(model, samples.holdout)
    kept = _Kept(start, step=(start - 1 / samples.num_classes) / config.stops)
    unlearned = unlearn(
        model,
        samples,
        ascent,
        augmentation=augmentation,
        seed=seed,
        watch=kept.watch,
        listen=listen,
    )
    stops = kept.stops
    if kept.accuracy > unlearned.history[-1].clean_accuracy:
        stops.append(unlearned.model)
    return Exposed(unlearned, tuple(stops))


class _Kept:
    """Copies of the model, one wherever a further step of accuracy is lost."""

    def __init__(self, accuracy: float, *, step: float) -> None:
        self.accuracy = accuracy
        self.stops: list[nn.Module] = []
        self._step = step

    def watch(self, model: nn.Module, epoch: Epoch) -> None:
        if self.accuracy - epoch.clean_accuracy >= self._step:
            self.stops.append(copy.deepcopy(model).requires_grad_(False))
            self.accuracy = epoch.clean_accuracy


def kept_classes(original: nn.Module, stops: Sequence[nn.Module]) -> Witness:
    """Ask models on the way down how sure they still are of the original's class."""

    def ask(images: Tensor) -> tuple[Tensor, Tensor]:
        predicted = logits_of(original, images).argmax(1)[:, None].cpu()
        odds = [_log_odds(stop, images, predicted) for stop in stops]
        return predicted[:, 0], torch.stack(odds)

    return ask


def lost_classes(original: nn.Module, sanitized: nn.Module) -> Witness:
    """Ask a sanitized model how much of the original's sureness it has lost."""

    def ask(images: Tensor) -> tuple[Tensor, Tensor]:
        predicted = logits_of(original, images).argmax(1)[:, None].cpu()
        before = _log_odds(original, images, predicted)
        return predicted[:, 0], (before - _log_odds(sanitized, images, predicted))[None]

    return ask


@dataclass(frozen=True, eq=False)
class SampleDetector:
    """What images are asked, and what clean samples answer.

    device: where the models are, and images must be. location: of the statistics,
    (statistic, class). scale: around it, (statistic, 1). held_out: the scores of the
    samples held out, sorted.
    """

    witness: Witness
    device: torch.device
    location: Tensor
    scale: Tensor
    held_out: Tensor

    def judge(self, images: Tensor) -> Judged:
        """Score images (count, channel, height, width) on the models' device."""
        predicted, said = self.witness(images)
        scores = _scores(self, predicted, said)
        below = torch.searchsorted(self.held_out, scores)
        held = len(self.held_out)
        return Judged(predicted, scores, (held - below + 1).double() / (held + 1))

    @property
    def least_rate(self) -> float:
        """Return the least false-positive rate that so many samples can tell."""
        return 1 / (len(self.held_out) + 1)


def calibrate(
    witness: Witness, samples: SplitSamples, config: SampleConfig
) -> SampleDetector:
    """Learn from clean samples what is usual for a class, and how rare what is not.

    samples: split as they were when models were unlearned or sanitized with them.
    """
    predicted, said = witness(samples.fit.images)
    classes = samples.num_classes
    location, scale = _usual(predicted, said, classes, config.usual_samples)
    device = samples.fit.images.device
    detector = SampleDetector(witness, device, location, scale, torch.empty(0))
    predicted, said = witness(samples.holdout.images)
    held_out = _scores(detector, predicted, said).sort().values
    return replace(detector, held_out=held_out)


def _log_odds(model: nn.Module, images: Tensor, predicted: Tensor) -> Tensor:
    """Return a model's log-odds (count,) of the classes predicted (count, 1)."""
    logits = logits_of(model, images).cpu().double()  # some GPUs have no float64
    own = logits.gather(1, predicted)[:, 0]
    others = logits.scatter(1, predicted, -torch.inf).logsumexp(1)
    return own - others


def _usual(
    predicted: Tensor, said: Tensor, classes: int, usual_samples: float
) -> tuple[Tensor, Tensor]:
    """Return the location (statistic, class), few samples drawn to all, and the scale.

    predicted: (count,). said: (statistic, count). scale: (statistic, 1), around the
    locations.
    """
    member = torch.zeros(len(predicted), classes, dtype=said.dtype)
    member[torch.arange(len(predicted)), predicted] = 1
    count = member.sum(0) + usual_samples
    mean = said.mean(1, keepdim=True)
    location = (said @ member + usual_samples * mean) / count
    around = said - location[:, predicted]
    scale = around.square().mean(1, keepdim=True).sqrt()
    return location, scale.clamp_min(_LEAST_SCALE)


def _scores(detector: SampleDetector, predicted: Tensor, said: Tensor) -> Tensor:
    """Standardize, and take the statistic by which an image stands out most."""
    standard = (said - detector.location[:, predicted]) / detector.scale
    return standard.amax(0)
