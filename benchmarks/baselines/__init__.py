"""Other defences, each after its paper, behind one call: the table BASELINES."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import nn

from baselines import anp, clp, fine_pruning, fine_tuning, nad, published
from rnp_cli.defense.samples import Samples


class Baseline(Protocol):
    """A defence.

    model: images (batch, channel, height, width) in [0, 1] to logits; it stays as it
    is. Raises DefenseFailed where the procedure gives no model.
    """

    def __call__(self, model: nn.Module, samples: Samples, *, seed: int) -> nn.Module:
        """Return a defended copy in eval mode, on the samples' device."""


BASELINES: Mapping[str, Baseline] = {
    "published-0.7": published.at_fixed_threshold,
    "published-budget": published.within_budget,
    "fine-tuning": fine_tuning.defend,
    "fine-pruning": fine_pruning.defend,
    "nad": nad.defend,
    "anp": anp.defend,
    "clp": clp.defend,
}
