"""Which clean samples move weights, and which only measure."""

from __future__ import annotations

from rnp_cli.defense.samples import Samples, SplitSamples, drawn_by_class
from rnp_cli.errors import InputRefused

_LEAST_FIT = 2  # batch statistics need two


def split(
    samples: Samples, *, num_classes: int, holdout_share: float, seed: int
) -> SplitSamples:
    """Split at random, with the same share of every class held out.

    Raises InputRefused when there are too few samples for both parts.
    """
    fit, held = drawn_by_class(samples.labels, holdout_share, seed)
    if not len(held) or len(fit) < _LEAST_FIT:
        raise InputRefused(
            f"{len(samples)} clean samples are too few to work with and to measure on.",
            hint="Give more clean samples; a few hundred serve best.",
        )
    return SplitSamples(
        fit=samples.take(fit),
        holdout=samples.take(held),
        num_classes=num_classes,
    )
