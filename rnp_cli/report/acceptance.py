"""What a policy forbids in a report, and which of it somebody has accepted."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from rnp_cli.report.schema import Part

RuleName = Literal["backdoor", "left", "unheard", "accuracy", "residual"]


class Acceptance(Part):
    """Somebody's word that a model may break a rule, up to a limit, until a day.

    Nothing else can be accepted: a model that could not be made safe stays unwritten.
    """

    model: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 of the model as it came"
    )
    rule: RuleName
    limit: float | None = Field(
        ge=0, le=100, description="of accuracy, in points, and of residual, in per cent"
    )
    reason: str = Field(min_length=1)
    expires: date = Field(description="the last day, in UTC")

    def covers(self, measured: float, on: date) -> bool:
        """Say whether it holds for what was measured on that day."""
        is_within = self.limit is None or measured <= self.limit + 1e-9
        return is_within and on <= self.expires


class Breach(Part):
    """A rule that the model breaks. accepted: by whom it may, for now; None: it fails.

    Evidence of a backdoor that was accepted is listed also where no rule forbids it.
    """

    rule: RuleName
    said: str
    accepted: Acceptance | None
