"""Which sanitizations fail a policy of the user's own, beside those that failed."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from rnp_cli.report import words
from rnp_cli.report.sanitization import Report
from rnp_cli.report.schema import Part


class Policy(Part):
    """What may not be; None: anything.

    backdoor: evidence in the model as it came, although it was removed. accuracy:
    points of clean accuracy on the holdout that may be lost. residual: per cent of
    held-out images that a recovered trigger may still turn, an estimate.
    """

    backdoor: bool = False
    accuracy: float | None = Field(None, ge=0, le=100)
    residual: float | None = Field(None, ge=0, le=100)


def violations(report: Report, policy: Policy) -> Iterator[str]:
    """Say what the policy does not allow."""
    if policy.backdoor and report.verdict.level != "none":
        yield f"the model as it came shows {words.evidence(report.verdict, report)}"
    lost = 100 * (report.holdout_before.value - report.holdout_after.value)
    if policy.accuracy is not None and lost > policy.accuracy + 1e-9:
        yield (
            f"{lost:.1f} points of clean accuracy on the holdout are lost, "
            f"{policy.accuracy:g} are allowed"
        )
    residual = 0.0 if report.success is None else 100 * report.success[1]
    if policy.residual is not None and residual > policy.residual + 1e-9:
        yield (
            f"a recovered trigger still turns an estimated {residual:.0f} % of the "
            f"images, {policy.residual:g} % are allowed"
        )
