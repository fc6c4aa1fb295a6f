"""Backdoor label: the class that the unlearned model calls clean images (§3.1).

Departure: the paper looks at the end of unlearning, where clean models collapse on some
class, too. Here the way down speaks, by the classes that new mistakes go to while a
tenth to a half of the clean skill is lost: a backdoor draws them early and nearly all,
whatever its trigger looks like.

This holds for networks with BatchNorm, which keeps the mean of each channel where it
is. Without it the first steps shift whole classes, clean or not, and another seed
shifts another class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from rnp_cli.defense.channels import ChannelLayer
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.defense.unlearn import Epoch, Unlearned

_EARLY = (0.5, 0.9)  # share of the clean skill that is left where mistakes speak


@dataclass(frozen=True)
class LabelEvidence:
    """The suspected target class, and the share of clean samples sent there.

    shares: per class, in [0, 1], summing to 1.
    """

    target: int
    share: float
    shares: tuple[float, ...]


def label_evidence(unlearned: nn.Module, samples: Samples) -> LabelEvidence:
    """Count what the unlearned model predicts for clean samples."""
    logits = logits_of(unlearned, samples.images)
    return _evidence(torch.bincount(logits.argmax(1).cpu(), minlength=logits.shape[1]))


def path_speaks(layers: Sequence[ChannelLayer]) -> bool:
    """Return whether new mistakes say anything of a network with these layers."""
    return any(layer.kind == "batchnorm" for layer in layers)


def path_evidence(unlearned: Unlearned, samples: Samples) -> LabelEvidence:
    """Pool where new mistakes go early on the way, each epoch counting the same.

    samples: all clean samples; a class is held against those that are not its own, so
    that it does not matter how many it has itself.
    """
    classes = len(unlearned.mistaken)
    chance = 1 / classes

    def left(epoch: Epoch) -> float:
        return (epoch.clean_accuracy - chance) / (unlearned.start - chance)

    least, most = _EARLY
    early = [epoch for epoch in unlearned.history if least <= left(epoch) <= most]
    own = torch.bincount(samples.labels.cpu(), minlength=classes)
    others = (len(samples) - own).clamp_min(1)
    before = torch.tensor(unlearned.mistaken)
    rates = [
        (torch.tensor(epoch.mistaken) - before).clamp_min(0).double() / others
        for epoch in early or unlearned.history[-1:]
    ]
    drawn = [rate / rate.sum() for rate in rates if rate.sum() > 0]
    return _evidence(torch.stack(drawn or [torch.ones(classes)]).mean(0))


def _evidence(counts: torch.Tensor) -> LabelEvidence:
    shares = (counts.double() / counts.sum()).tolist()
    target = int(counts.argmax())
    return LabelEvidence(target, shares[target], tuple(shares))
