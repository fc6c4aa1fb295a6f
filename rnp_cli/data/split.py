"""Which clean samples move weights, and which only measure."""

from __future__ import annotations

import math

import torch

from rnp_cli.defense.samples import Samples, SplitSamples


def split(
    samples: Samples, *, num_classes: int, holdout_share: float, seed: int
) -> SplitSamples:
    """Split at random, with the same share of every class held out."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(samples), generator=generator)
    by_class = shuffled[samples.labels.cpu()[shuffled].argsort(stable=True)].tolist()
    held: list[int] = []
    fit: list[int] = []
    for place, index in enumerate(by_class):
        turn = math.floor((place + 1) * holdout_share)
        (held if turn > math.floor(place * holdout_share) else fit).append(index)
    return SplitSamples(
        fit=samples.take(torch.tensor(sorted(fit))),
        holdout=samples.take(torch.tensor(sorted(held))),
        num_classes=num_classes,
    )
