"""Backdoor label: the class that the unlearned model calls clean images (§3.1).

Departure: the paper looks at the end of unlearning, where clean models collapse on some
class, too. Here the way down speaks, by the classes that new mistakes go to while a
tenth to a half of the clean skill is lost: a backdoor draws them early and nearly all,
whatever its trigger looks like.

This holds for networks with BatchNorm, which keeps the mean of each channel where it
is. Without it the first steps shift whole classes, clean or not, and another seed
shifts another class. Nor does it hold for a handful of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from rnp_cli.defense.channels import ChannelLayer, has_batchnorm
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.defense.unlearn import Unlearned

_FEWEST_CLASSES = 5  # with two, each one's mistakes can only go to the other


@dataclass(frozen=True)
class LabelEvidence:
    """The suspected target class, and the share of clean samples sent there.

    shares: per class, in [0, 1], summing to 1. counted: how many samples they rest on.
    """

    target: int
    share: float
    shares: tuple[float, ...]
    counted: int


def label_evidence(unlearned: nn.Module, samples: Samples) -> LabelEvidence:
    """Count what the unlearned model predicts for clean samples."""
    logits = logits_of(unlearned, samples.images)
    counts = torch.bincount(logits.argmax(1).cpu(), minlength=logits.shape[1])
    return _evidence(counts, len(samples))


def path_evidence(
    unlearned: Unlearned, layers: Sequence[ChannelLayer], samples: Samples
) -> LabelEvidence | None:
    """Pool where new mistakes go early on the way, each epoch counting the same.

    New are those that a class draws beyond what it drew before. They are held against
    the samples that are not of the class, so that in the mean it does not matter how
    many it has itself.
    samples: all clean samples.
    Returns None where they say nothing: without BatchNorm, with few classes, or where
    the way down leapt over its first half.
    """
    classes = len(unlearned.mistaken)
    early = [epoch for epoch in unlearned.history if unlearned.is_early(epoch)]
    own = torch.bincount(samples.labels.cpu(), minlength=classes)
    others = (len(samples) - own).clamp_min(1)
    before = torch.tensor(unlearned.mistaken)
    new = [(torch.tensor(epoch.mistaken) - before).clamp_min(0) for epoch in early]
    new = [counts for counts in new if counts.sum() > 0]
    if not has_batchnorm(layers) or classes < _FEWEST_CLASSES or not new:
        return None
    rates = [counts.double() / others for counts in new]
    shares = torch.stack([rate / rate.sum() for rate in rates]).mean(0)
    return _evidence(shares, round(torch.stack(new).sum(1).double().mean().item()))


def _evidence(counts: torch.Tensor, counted: int) -> LabelEvidence:
    shares = (counts.double() / counts.sum()).tolist()
    target = int(counts.argmax())
    return LabelEvidence(target, shares[target], tuple(shares), counted)
