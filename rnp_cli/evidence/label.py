"""Backdoor label: the class that the unlearned model calls clean images (§3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of


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
    counts = torch.bincount(logits.argmax(1).cpu(), minlength=logits.shape[1])
    shares = (counts.double() / counts.sum()).tolist()
    target = int(counts.argmax())
    return LabelEvidence(target, shares[target], tuple(shares))
