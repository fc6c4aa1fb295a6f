"""Which clean samples move weights, and which only measure."""

from __future__ import annotations

import math

import torch

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.errors import InputRefused

_LEAST_FIT = 2  # batch statistics need two


def split(
    samples: Samples, *, num_classes: int, holdout_share: float, seed: int
) -> SplitSamples:
    """Split at random, with the same share of every class held out.

    Raises InputRefused when there are too few samples for both parts.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(samples), generator=generator)
    by_class = shuffled[samples.labels.cpu()[shuffled].argsort(stable=True)].tolist()
    held: list[int] = []
    fit: list[int] = []
    for place, index in enumerate(by_class):
        turn = math.floor((place + 1) * holdout_share)
        (held if turn > math.floor(place * holdout_share) else fit).append(index)
    if not held or len(fit) < _LEAST_FIT:
        raise InputRefused(
            f"{len(samples)} clean samples are too few to work with and to measure on.",
            hint="Give more clean samples; a few hundred serve best.",
        )
    return SplitSamples(
        fit=samples.take(torch.tensor(sorted(fit))),
        holdout=samples.take(torch.tensor(sorted(held))),
        num_classes=num_classes,
    )
