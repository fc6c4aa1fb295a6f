from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from rnp_cli.report.acceptance import Acceptance
from rnp_cli.report.formats import FORMATS
from rnp_cli.report.policy import Policy, judged
from rnp_cli.report.sanitization import Report
from rnp_cli.report.terminal import render

ENTRY = {
    "model": "ab" * 32,
    "rule": "backdoor",
    "limit": None,
    "reason": "ticket <b>|`x`",
    "expires": date(2025, 6, 1),
}


@pytest.mark.parametrize("name", [*FORMATS, "table"])
@pytest.mark.parametrize("day", [date(2025, 6, 1), date(2024, 6, 1)])
def test_every_format_marks_what_is_accepted_and_says_what_expired(
    make_report: Any, rendered: Any, name: str, day: date
) -> None:
    entry = Acceptance.model_validate(ENTRY | {"expires": day})
    report = judged(make_report(), Policy(backdoor=True), [entry])

    text = rendered(render(report)) if name == "table" else FORMATS[name](report)

    assert str(day) in text
    assert ("expired on" in text) == (day.year == 2024)
    assert ("ticket" in text) == (day.year == 2025)
    assert "<b>" not in text or name in ("json", "sarif", "table")
    assert "strong evidence" in " ".join(text.split())


def test_a_report_with_an_acceptance_is_read_again(make_report: Any) -> None:
    entry = Acceptance.model_validate(ENTRY)
    report = judged(make_report(), Policy(backdoor=True), [entry])

    again = Report.model_validate_json(FORMATS["json"](report))

    assert again == report
    assert again.digest() == report.digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "ab"},
        {"model": "AB" * 32},
        {"rule": "not-safe"},
        {"reason": ""},
        {"limit": -1},
        {"limit": float("nan")},
    ],
    ids=str,
)
def test_an_unclear_acceptance_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Acceptance.model_validate(ENTRY | changes)
