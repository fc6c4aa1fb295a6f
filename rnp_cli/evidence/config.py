"""The knobs of what tells a backdoor."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from rnp_cli.evidence.inversion import InversionConfig
from rnp_cli.evidence.margin import MarginConfig
from rnp_cli.evidence.remaining import ClosingConfig
from rnp_cli.evidence.verdict import VerdictConfig


class EvidenceConfig(BaseModel):
    """The knobs of what tells a backdoor.

    unlearnings: how often the model unlearns to hear where its mistakes go, unless
    there is strong evidence at once; the first goes all the way, the others half.
    most_classes: triggers are recovered, and margins searched, for at most so many
    classes, those first that draw the most mistakes while the model unlearns.
    most_paired: of at most so many classes triggers are recovered for each pair, where
    nothing else shows a backdoor and mistakes tell nothing; the cost grows with its
    square.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    unlearnings: int = Field(3, ge=1)
    most_classes: int = Field(50, ge=2)
    most_paired: int = Field(12, ge=0)
    inversion: InversionConfig = InversionConfig()
    margin: MarginConfig = MarginConfig()
    verdict: VerdictConfig = VerdictConfig()
    closing: ClosingConfig = ClosingConfig()
