"""Reports of other commands than rnp sanitize, as a run could have written them.

Each takes what it has in common with one of rnp sanitize from that.
"""

from __future__ import annotations

from typing import Any

from rnp_cli.report.detection import (
    Detection,
    Family,
    MarginInfo,
    TriggerInfo,
    VerdictInfo,
)
from rnp_cli.report.filtering import CountInfo, Filtering, RateInfo, SuspectRow
from rnp_cli.report.sanitization import Report
from rnp_cli.report.schema import Accuracy
from rnp_cli.report.triggers import RecoveredInfo, SanitizedInfo, TriggerReport

SIZES: dict[Family, tuple[float, ...]] = {
    "overlay": (40.0, 4.2, 37.5),
    "addition": (0.061, 0.02, 0.055),
    "warp": (3.1, 2.8, 2.2),
}
SUSPECT = SuspectRow(
    file="inbox/[red]0001.png", predicted=1, score=5.25, p_value=0.00398, suspect=True
)
BROKEN = SuspectRow(
    file="=cmd,\x1b.png", error="cannot be read as an image: it is none."
)


def detection(report: Report, **changes: Any) -> Detection:
    """A detection of a small run; ``changes`` replace whole parts of it."""
    triggers = tuple(
        TriggerInfo(target=target, family=family, norm=norm, success=0.96, found=True)
        for family, norms in SIZES.items()
        for target, norm in enumerate(norms)
    )
    free = TriggerInfo(
        target=None, family="overlay", norm=1024.0, success=0.0, found=False
    )
    parts = _how_made(report) | {
        "verdict": VerdictInfo(
            level="strong",
            kind="all-to-one",
            target=1,
            family="overlay",
            index=6.1,
            p_inversion=0.0005,
            p_label=1 / 3,
            p_margin=0.004,
            p_value=0.0009,
        ),
        "model": report.model,
        "input": report.input,
        "samples": report.samples,
        "accuracy": report.accuracy_before,
        "label": report.label and report.label.model_copy(update={"unlearnings": 3}),
        "unlearn": report.unlearn,
        "unlearn_failure": None,
        "triggers": (*triggers, free),
        "margins": tuple(
            MarginInfo(target=target, margin=margin)
            for target, margin in enumerate((4.13, 11.62, -0.2))
        ),
        "not_checked": ("Triggers that warp an image.",),
        "settings": {"inversion": {"steps": 100}},
        "run": report.run,
    }
    return Detection(**(parts | changes))


def recovered(target: int | None, norm: float, **changes: Any) -> RecoveredInfo:
    parts: dict[str, Any] = {
        "target": target,
        "found": True,
        "norm": norm,
        "index": None if target is None else 3 - norm / 10,
        "images": 100,
        "success_where_found": 0.99,
        "estimated_success": 0.96,
        "estimated_success_sanitized": 0.03,
        "files": (f"class-{target}.trigger.png", f"class-{target}.mask.png"),
    }
    return RecoveredInfo(**(parts | changes))


def triggers(report: Report, **changes: Any) -> TriggerReport:
    """What a small run recovered; ``changes`` replace whole parts of it."""
    parts = _how_made(report) | {
        "inverted_on": "original",
        "family": "overlay",
        "model": report.model,
        "sanitized": SanitizedInfo(
            file="model.sanitized.safetensors",
            sha256="cd" * 32,
            format="safetensors",
            findings=(),
            accuracy=Accuracy.of(0.926, 500),
        ),
        "input": report.input,
        "samples": report.samples,
        "accuracy": report.accuracy_before,
        "unlearn": None,
        "triggers": (
            recovered(0, 40.0),
            recovered(1, 4.2),
            recovered(2, 1024.0, found=False, index=None),
            recovered(None, 37.5),
        ),
        "not_checked": ("Triggers that warp an image.",),
        "settings": {"inversion": {"steps": 100}},
        "run": report.run,
    }
    return TriggerReport(**(parts | changes))


def filtering(report: Report, **changes: Any) -> Filtering:
    """A filtering of a small folder; ``changes`` replace whole parts of it."""
    parts = _how_made(report) | {
        "suspects": "data/inbox",
        "rate": RateInfo(requested=0.01, used=0.01, holdout=250),
        "counts": CountInfo(
            scored=12_000,
            suspect=1300,
            unreadable=1,
            passed_over=2,
            suspect_by_class=(40, 1255, 5),
        ),
        "most_suspect": (SUSPECT,),
        "unreadable": (BROKEN,),
        "output": "inbox.csv",
        "quarantine": "aside",
        "moved": False,
        "model": report.model,
        "input": report.input,
        "samples": report.samples,
        "accuracy": report.accuracy_before,
        "unlearn": report.unlearn,
        "stops": 4,
        "not_checked": ("How many are found.",),
        "settings": {},
        "run": report.run,
    }
    return Filtering.model_validate(parts | changes)


def _how_made(report: Report) -> dict[str, Any]:
    """Return what all reports of runs on one machine have alike."""
    return {
        "tool_version": report.tool_version,
        "torch_version": report.torch_version,
        "device": report.device,
        "seed": report.seed,
    }
