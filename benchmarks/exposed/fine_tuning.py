"""Fine-tuning that starts from the pruned model, its settings unchanged."""

from __future__ import annotations

from baselines import fine_tuning
from torch import nn

from exposed.findings import Findings
from rnp_cli.defense.samples import Samples


def defend(
    model: nn.Module, samples: Samples, *, findings: Findings, seed: int
) -> nn.Module:
    """Return a copy of the pruned model that was trained on."""
    return fine_tuning.defend(findings.pruned_copy(model), samples, seed=seed)
