"""Backdoor label: the class that the unlearned model calls clean images (§3.1).

Departure: the paper looks at the end of unlearning, where clean models collapse on some
class, too. Here the way down speaks, by the classes that new mistakes go to while a
tenth to a half of the clean skill is lost: a backdoor draws them early and nearly all,
whatever its trigger looks like. One way down of a clean model may happen to lead to one
class; the mean of several does so less often, but deep and narrow networks have a habit
that stays (``evidence/chance.py`` gives figures).

This holds for networks with BatchNorm, which keeps the mean of each channel where it
is. Without it the first steps shift whole classes, clean or not, and another seed
shifts another class. Nor does it hold for a handful of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import ChannelLayer, has_batchnorm
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import logits_of
from rnp_cli.defense.unlearn import UnlearnConfig, Unlearned, unlearn_half
from rnp_cli.device import seeded
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "mistakes"
_FEWEST_CLASSES = 5  # with two, each one's mistakes can only go to the other


@dataclass(frozen=True)
class LabelEvidence:
    """The suspected target class, and the share of clean samples sent there.

    shares: per class, in [0, 1], summing to 1. unlearnings: how many they are the mean
    of. counted: how many samples they rest on, in one of these.
    """

    target: int
    share: float
    shares: tuple[float, ...]
    counted: int
    unlearnings: int = 1


def label_evidence(unlearned: nn.Module, samples: Samples) -> LabelEvidence:
    """Count what the unlearned model predicts for clean samples."""
    logits = logits_of(unlearned, samples.images)
    counts = torch.bincount(logits.argmax(1).cpu(), minlength=logits.shape[1])
    return _evidence(counts, len(samples))


def hear_mistakes(
    model: nn.Module,
    unlearned: Unlearned,
    layers: Sequence[ChannelLayer],
    samples: SplitSamples,
    config: UnlearnConfig,
    *,
    times: int,
    augmentation: Augmentation,
    seed: int,
    listen: Listener = ignore,
) -> LabelEvidence | None:
    """Unlearn until ``times`` ways down are known, and pool where new mistakes go.

    unlearned: the first of them. The others end half way, each with other samples held
    out; one that does not come so far has no say.
    """
    listen(StageStarted(stage=STAGE, total=times - 1))
    paths = [unlearned]
    for number in range(1, times):
        try:
            with seeded(seed + number, samples.fit.images.device):
                half = unlearn_half(
                    model,
                    samples.redrawn(seed + number),
                    config,
                    augmentation=augmentation,
                    seed=seed + number,
                )
        except DefenseFailed:
            continue
        paths.append(half)
        listen(StepDone(stage=STAGE, step=number))
    pooled = path_evidence(paths, layers, samples.everything())
    summary = "none of them tells"
    if pooled is not None:
        share, target = pooled.share, pooled.target
        summary = f"{share:.0%} of the first new ones go to class {target}"
    listen(StageDone(stage=STAGE, summary=summary))
    return pooled


def path_evidence(
    paths: Sequence[Unlearned], layers: Sequence[ChannelLayer], samples: Samples
) -> LabelEvidence | None:
    """Pool where new mistakes go early on the ways down, each counting the same.

    New are those that a class draws beyond what it drew before. They are held against
    the samples that are not of the class, so that in the mean it does not matter how
    many it has itself. On a way each epoch counts the same.
    samples: all clean samples.
    Returns None where they have no say, or leapt over their first half.
    """
    classes = len(paths[0].mistaken)
    if not have_a_say(layers, classes):
        return None
    own = torch.bincount(samples.labels.cpu(), minlength=classes)
    others = (len(samples) - own).clamp_min(1)
    shares, counted = [], []
    for path in paths:
        if new := _new_mistakes(path):
            rates = [counts.double() / others for counts in new]
            shares.append(torch.stack([rate / rate.sum() for rate in rates]).mean(0))
            counted.append(torch.stack(new).sum(1).double().mean())
    if not shares:
        return None
    mean = torch.stack(counted).mean().item()
    return _evidence(torch.stack(shares).mean(0), round(mean), len(shares))


def have_a_say(layers: Sequence[ChannelLayer], classes: int) -> bool:
    """Return whether mistakes tell anything of such a network."""
    return has_batchnorm(layers) and classes >= _FEWEST_CLASSES


def _new_mistakes(path: Unlearned) -> list[Tensor]:
    """Return by early epoch how many more mistakes each class draws than before."""
    before = torch.tensor(path.mistaken)
    early = [epoch for epoch in path.history if path.is_early(epoch)]
    new = [(torch.tensor(epoch.mistaken) - before).clamp_min(0) for epoch in early]
    return [counts for counts in new if counts.sum() > 0]


def _evidence(counts: Tensor, counted: int, unlearnings: int = 1) -> LabelEvidence:
    shares = (counts.double() / counts.sum()).tolist()
    target = int(counts.argmax())
    return LabelEvidence(target, shares[target], tuple(shares), counted, unlearnings)
