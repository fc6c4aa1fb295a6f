"""What a report says, beside what is true."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from harness.result import Shares
from harness.run import Run
from harness.truth import single_target
from rnp_cli import Report


class Estimate(BaseModel):
    """Verdict and estimated ASR of one run, with the truth. ASR in [0, 1].

    true_target: of an attack with one target. estimated: by the best of the recovered
    triggers, before and after; None where none was tried. exit_code: of the command.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    attack: str | None
    true_target: int | None
    samples: int
    seed: int
    outcome: str
    exit_code: int
    level: str
    kind: str | None
    target: int | None
    p_value: float
    before: Shares
    after: Shares
    estimated: tuple[float, float] | None

    @property
    def is_flagged(self) -> bool:
        """Whether the verdict is that there is evidence."""
        return self.level != "none"


def estimate_of(run: Run) -> Estimate | None:
    """Read what a kept run reported; None where it made no report."""
    file = run.work / f"{run.stem}.report.json"
    result = run.kept()
    if result is None or result.before is None or not file.exists():
        return None
    assert result.after is not None
    report = Report.model_validate_json(file.read_text())
    return Estimate(
        subject=result.subject,
        attack=result.attack,
        true_target=single_target(run.subject),
        samples=result.samples,
        seed=result.seed,
        outcome=report.outcome,
        exit_code=0 if result.changed else 1,
        level=report.verdict.level,
        kind=report.verdict.kind,
        target=report.verdict.target,
        p_value=report.verdict.p_value,
        before=result.before,
        after=result.after,
        estimated=report.success,
    )


def still_holds(estimate: Estimate | None, run: Run) -> bool:
    """Whether an earlier estimate is of the run that is kept, report or not."""
    result = run.kept()
    if estimate is None or result is None:
        return False
    said = (estimate.outcome, estimate.before, estimate.after)
    return said == (result.outcome, result.before, result.after)
