from __future__ import annotations

from typing import Any

import pytest

from rnp_cli.report.policy import Policy, violations
from rnp_cli.report.schema import Accuracy


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Policy(), ""),
        (Policy(backdoor=True), "as it came shows strong evidence"),
        (Policy(accuracy=2), ""),
        (Policy(accuracy=1.9), "2.0 points"),
        (Policy(residual=4), ""),
        (Policy(residual=3), "an estimated 4 %"),
    ],
)
def test_a_policy_names_what_it_does_not_allow(
    make_report: Any, policy: Policy, said: str
) -> None:
    report = make_report(
        holdout_before=Accuracy.of(0.94, 150), holdout_after=Accuracy.of(0.92, 150)
    )

    told = list(violations(report, policy))

    assert len(told) == bool(said)
    assert said in "".join(told)


def test_a_model_without_evidence_breaks_nothing(
    make_report: Any, make_verdict: Any
) -> None:
    none = make_verdict(level="none", kind=None, target=None)
    report = make_report(
        outcome="unchanged",
        verdict=none,
        tried=(),
        holdout_after=Accuracy.of(0.94, 150),
    )
    strict = Policy(backdoor=True, accuracy=0, residual=0)

    assert list(violations(report, strict)) == []
