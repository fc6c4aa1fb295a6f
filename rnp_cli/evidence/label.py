"""Backdoor label: the class that the unlearned model calls clean images (§3.1).

Departure: the paper looks at the end of unlearning, where clean models collapse on some
class, too. Here every epoch on the way down speaks, by the classes that its mistakes
go to: a backdoor draws them early, and all along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.defense.unlearn import Epoch


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


def path_evidence(history: Sequence[Epoch]) -> LabelEvidence:
    """Pool where the mistakes of each epoch go, each epoch counting the same.

    history: of an unlearning; at least one epoch has mistakes, because it reached the
    floor.
    """
    shares = [
        torch.tensor(epoch.mistaken, dtype=torch.float64) / sum(epoch.mistaken)
        for epoch in history
        if sum(epoch.mistaken)
    ]
    return _evidence(torch.stack(shares).mean(0))


def _evidence(counts: torch.Tensor) -> LabelEvidence:
    shares = (counts.double() / counts.sum()).tolist()
    target = int(counts.argmax())
    return LabelEvidence(target, shares[target], tuple(shares))
