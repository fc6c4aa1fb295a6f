from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from rnp_cli.report.acceptance import Acceptance
from rnp_cli.report.policy import Policy, failing, is_failed, judged
from rnp_cli.report.schema import Accuracy


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Policy(), ""),
        (Policy(backdoor=True), "as it came shows strong evidence"),
        (Policy(accuracy=2), ""),
        (Policy(accuracy=1.9), "2.0 points"),
        (Policy(residual=4), ""),
        (Policy(residual=3), "an estimated 4%"),
        (Policy(left=True), ""),
        (Policy(unheard=True), ""),
    ],
)
def test_a_policy_names_what_it_does_not_allow(
    make_report: Any, policy: Policy, said: str
) -> None:
    report = make_report(
        holdout_before=Accuracy.of(0.94, 150), holdout_after=Accuracy.of(0.92, 150)
    )

    report = judged(report, policy, ())

    assert report.policy == policy.rules()
    assert len(report.breaches) == bool(said)
    assert said in "".join(breach.said for breach in report.breaches)
    assert is_failed(report) == bool(said)


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
    strict = Policy(backdoor=True, left=True, accuracy=0, residual=0)

    assert judged(report, strict, ()).breaches == ()


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"level": "weak", "p_value": 0.03}, "the sanitized model shows weak evidence"),
        (None, "the sanitized model was not looked at again"),
    ],
)
def test_evidence_that_is_left_fails_where_it_may_not_be(
    make_report: Any, make_verdict: Any, after: dict[str, Any] | None, said: str
) -> None:
    verdict_after = None if after is None else make_verdict(**after)
    report = make_report(verdict_after=verdict_after)

    assert not is_failed(judged(report, Policy(), ()))
    report = judged(report, Policy(left=True), ())
    assert is_failed(report)
    [breach] = report.breaches
    assert said in breach.said
    accepted = judged(report, Policy(left=True), [entry(rule="left", limit=None)])
    assert not is_failed(accepted)


def entry(**changes: Any) -> Acceptance:
    """An entry for the model of ``make_report``, whose run was on 2025-01-01."""
    parts = {
        "model": "ab" * 32,
        "rule": "residual",
        "limit": 5.0,
        "reason": "known",
        "expires": date(2025, 1, 1),
    }
    return Acceptance.model_validate(parts | changes)


def test_what_is_accepted_stays_in_the_report_and_does_not_fail(
    make_report: Any,
) -> None:
    report = judged(make_report(), Policy(residual=3), [entry()])

    [breach] = report.breaches
    assert "an estimated 4%" in breach.said
    assert breach.accepted == entry()
    assert not is_failed(report)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expires": date(2024, 12, 31)}, "its acceptance expired on 2024-12-31"),
        ({"limit": 3.9}, "no more than 3.9 was accepted"),
        ({"model": "cd" * 32}, "3% are allowed"),
        ({"rule": "accuracy"}, "3% are allowed"),
        ({"rule": "backdoor", "limit": None}, "3% are allowed"),
    ],
)
def test_what_no_entry_covers_fails_and_says_why(
    make_report: Any, changes: dict[str, Any], said: str
) -> None:
    report = judged(make_report(), Policy(residual=3), [entry(**changes)])

    [failed] = failing(report)
    assert failed.said.endswith(said)
    assert is_failed(report)


def test_the_entry_that_covers_wins_over_those_that_do_not(make_report: Any) -> None:
    entries = [entry(), entry(expires=date(2024, 1, 1)), entry(limit=1)]

    [breach] = judged(make_report(), Policy(residual=3), entries).breaches

    assert breach.accepted == entry()


def test_accepted_evidence_is_marked_though_no_rule_forbids_it(
    make_report: Any,
) -> None:
    backdoor = entry(rule="backdoor", limit=None)

    [breach] = judged(make_report(), Policy(), [backdoor]).breaches

    assert breach.accepted == backdoor
    expired = backdoor.model_copy(update={"expires": date(2024, 1, 1)})
    assert judged(make_report(), Policy(), [expired]).breaches == ()


def test_a_model_that_mistakes_say_nothing_of_may_be_forbidden(
    make_report: Any, make_verdict: Any
) -> None:
    none = make_verdict(level="none", kind=None, target=None, p_label=None)
    report = make_report(outcome="unchanged", verdict=none, tried=(), label=None)

    [breach] = judged(report, Policy(unheard=True), ()).breaches

    assert breach.rule == "unheard"
    assert "on one class only" in breach.said
    assert judged(report, Policy(), ()).breaches == ()
    heard = entry(rule="unheard", limit=None)
    assert not is_failed(judged(report, Policy(unheard=True), [heard]))


@pytest.mark.parametrize("outcome", ["not-safe", "no-safe-threshold"])
def test_what_could_not_be_made_safe_cannot_be_accepted(
    make_report: Any, outcome: str
) -> None:
    entries = [entry(), entry(rule="backdoor", limit=None)]
    everything = Policy(backdoor=True, left=True, accuracy=0, residual=0)

    report = judged(make_report(outcome=outcome), everything, entries)

    assert report.breaches == ()
    assert is_failed(report)


def test_the_digest_knows_of_acceptance_and_not_of_sources(make_report: Any) -> None:
    policy = Policy(residual=3)
    report = judged(make_report(), policy, ())

    assert judged(make_report(), policy, [entry()]).digest() != report.digest()
    told = report.run.model_copy(update={"sources": {"seed": "RNP_SEED"}})
    assert report.model_copy(update={"run": told}).digest() == report.digest()
