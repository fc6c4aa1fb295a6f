"""Which runs fail a policy of the user's own, beside those that failed anyway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Literal

from pydantic import Field

from rnp_cli.report import words
from rnp_cli.report.acceptance import Acceptance, Breach, RuleName
from rnp_cli.report.detection import Detection
from rnp_cli.report.sanitization import Report
from rnp_cli.report.schema import Part

LEVELS = ("none", "weak", "strong")


class Policy(Part):
    """What may not be; None: anything.

    backdoor: evidence in the model as it came, although it was removed. left: evidence
    in the sanitized model, weak or asleep; or nobody looked at it again. unheard: where
    mistakes go says nothing of the model, so that some backdoors are missed. accuracy:
    points of clean accuracy on the holdout that may be lost. residual: per cent of
    held-out images that a recovered trigger may still turn, an estimate.
    """

    backdoor: bool = False
    left: bool = False
    unheard: bool = False
    accuracy: float | None = Field(None, ge=0, le=100)
    residual: float | None = Field(None, ge=0, le=100)

    def rules(self) -> tuple[str, ...]:
        """Write the rules as --fail-on takes them."""
        return tuple(
            name if limit is True else f"{name}={limit:g}"
            for name, limit in self
            if limit is not None and limit is not False
        )

    @classmethod
    def bare(cls) -> frozenset[str]:
        """Name the rules that have no limit."""
        fields = cls.model_fields.items()
        return frozenset(name for name, field in fields if field.default is False)


def judged(report: Report, policy: Policy, accepted: Iterable[Acceptance]) -> Report:
    """Add to a report the rules, and which of them the model breaks.

    A model that could not be made safe is not judged by rules: nothing is accepted
    of it.
    """
    breaches: tuple[Breach, ...] = ()
    if words.tone(report) != "bad":
        breaches = tuple(_breaches(report, policy, _of_model(report, accepted)))
    return report.model_copy(update={"policy": policy.rules(), "breaches": breaches})


def judged_detection(
    detection: Detection,
    fail_on: Literal["weak", "strong", "never"],
    accepted: Iterable[Acceptance],
) -> Detection:
    """Add to a detection which evidence fails, and whether this one does."""
    level = LEVELS.index(detection.verdict.level)
    forbids = fail_on != "never" and level >= LEVELS.index(fail_on)
    breaches = tuple(_backdoor(detection, forbids, _of_model(detection, accepted)))
    return detection.model_copy(update={"policy": (fail_on,), "breaches": breaches})


def failing(report: Report | Detection) -> tuple[Breach, ...]:
    """Return what the policy forbids and nobody has accepted."""
    return tuple(breach for breach in report.breaches if breach.accepted is None)


def is_failed(report: Report) -> bool:
    """Say whether ``rnp sanitize`` ends with exit code 1."""
    return words.tone(report) == "bad" or bool(failing(report))


def _breaches(
    report: Report, policy: Policy, accepted: list[Acceptance]
) -> Iterator[Breach]:
    yield from _backdoor(report, policy.backdoor, accepted)
    day = _day(report)
    still = _left(report)
    if policy.left and still:
        yield _breach("left", 0.0, still, accepted, day)
    if policy.unheard and report.label is None:
        said = (
            "where mistakes go while unlearning says nothing of this model: a trigger "
            "that works on one class only, or restyles an image, may be missed"
        )
        yield _breach("unheard", 0.0, said, accepted, day)
    lost = 100 * (report.holdout_before.value - report.holdout_after.value)
    if policy.accuracy is not None and lost > policy.accuracy + 1e-9:
        said = (
            f"{lost:.1f} points of clean accuracy on the holdout are lost, "
            f"{policy.accuracy:g} are allowed"
        )
        yield _breach("accuracy", lost, said, accepted, day)
    residual = 0.0 if report.success is None else 100 * report.success[1]
    if policy.residual is not None and residual > policy.residual + 1e-9:
        said = (
            f"a recovered trigger still turns an estimated {residual:.0f}% of the "
            f"images, {policy.residual:g}% are allowed"
        )
        yield _breach("residual", residual, said, accepted, day)


def _left(report: Report) -> str:
    """Say what evidence the sanitized model shows, if any."""
    if report.verdict.level == "none":
        return ""
    if report.verdict_after is None:
        return "the sanitized model was not looked at again"
    if report.verdict_after.level == "none":
        return ""
    return f"the sanitized model shows {words.evidence(report.verdict_after, report)}"


def _backdoor(
    report: Report | Detection, forbids: bool, accepted: list[Acceptance]
) -> Iterator[Breach]:
    if report.verdict.level == "none":
        return
    said = f"the model as it came shows {words.evidence(report.verdict, report)}"
    breach = _breach("backdoor", 0.0, said, accepted, _day(report))
    if forbids or breach.accepted is not None:
        yield breach


def _breach(
    rule: RuleName, measured: float, said: str, accepted: list[Acceptance], on: date
) -> Breach:
    """Look for what covers a breach; or say why the entry that was for it does not."""
    entries = sorted(
        (entry for entry in accepted if entry.rule == rule),
        key=lambda entry: (entry.covers(measured, on), entry.expires),
    )
    if not entries:
        return Breach(rule=rule, said=said, accepted=None)
    best = entries[-1]
    if best.covers(measured, on):
        return Breach(rule=rule, said=said, accepted=best)
    why = f"its acceptance expired on {best.expires}"
    if on <= best.expires:
        why = f"no more than {best.limit:g} was accepted"
    return Breach(rule=rule, said=f"{said}; {why}", accepted=None)


def _of_model(
    report: Report | Detection, accepted: Iterable[Acceptance]
) -> list[Acceptance]:
    return [entry for entry in accepted if entry.model == report.model.sha256]


def _day(report: Report | Detection) -> date:
    """Return the day of the run, in UTC."""
    return date.fromisoformat(report.run.started[:10])
