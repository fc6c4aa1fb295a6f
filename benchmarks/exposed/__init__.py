"""Other defences that start from what unlearning exposes: the table EXPOSED."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import nn

from exposed import anp, fine_tuning, nad
from exposed.findings import Findings
from rnp_cli.defense.samples import Samples


class Informed(Protocol):
    """A defence that is told what was exposed. The rest is as for a baseline.

    model: as it came; it stays as it is. Raises DefenseFailed where there is no model.
    """

    def __call__(
        self, model: nn.Module, samples: Samples, *, findings: Findings, seed: int
    ) -> nn.Module:
        """Return a defended copy in eval mode, on the samples' device."""


EXPOSED: Mapping[str, Informed] = {  # by the baseline that each is held against
    "fine-tuning": fine_tuning.defend,
    "anp": anp.defend,
    "nad": nad.defend,
}
