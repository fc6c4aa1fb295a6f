from __future__ import annotations

import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest

from rnp_cli.report.acceptance import Acceptance
from rnp_cli.report.formats import formats_with
from rnp_cli.report.place import uri_of
from rnp_cli.report.policy import Policy, judged
from rnp_cli.report.sarif import sarif


def run_of(report: Any) -> Any:
    content = json.loads(sarif(report))
    assert content["version"] == "2.1.0"
    [run] = content["runs"]
    return run


def test_the_evidence_is_a_result_at_the_model(make_report: Any) -> None:
    report = make_report()

    run = run_of(report)

    [result] = run["results"]
    rules = run["tool"]["driver"]["rules"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "RNP001"
    assert result["level"] == "error"
    assert "strong evidence of a backdoor to class 2 (dog)" in result["message"]["text"]
    [place] = result["locations"]
    file = place["physicalLocation"]["artifactLocation"]
    assert file == {"uri": "model.pt", "index": 0}
    assert run["artifacts"][0]["hashes"] == {"sha-256": report.model.sha256}
    assert run["invocations"][0]["exitCode"] == 0


def test_weak_evidence_is_a_warning(make_report: Any, make_verdict: Any) -> None:
    run = run_of(make_report(verdict=make_verdict(level="weak")))

    assert [result["level"] for result in run["results"]] == ["warning"]


def test_a_model_without_evidence_gives_none(
    make_report: Any, make_verdict: Any
) -> None:
    none = make_verdict(level="none", kind=None, target=None)

    assert run_of(make_report(outcome="unchanged", verdict=none))["results"] == []


@pytest.mark.parametrize(
    ("changes", "rule", "level", "code"),
    [
        ({"outcome": "not-safe", "left": ("triggers",)}, "RNP002", "error", 1),
        ({"outcome": "repaired", "left": ("asleep",)}, "RNP003", "note", 0),
    ],
)
def test_what_is_left_is_a_result_of_its_own(
    make_report: Any, changes: dict[str, Any], rule: str, level: str, code: int
) -> None:
    run = run_of(make_report(**changes))

    assert [(r["ruleId"], r["level"]) for r in run["results"][1:]] == [(rule, level)]
    assert run["invocations"][0]["exitCode"] == code


def test_names_are_no_links_and_no_placeholders(make_report: Any) -> None:
    name = "a [b](http://c) {0} \\ \x1b[31m\u202e"
    report = make_report()
    report = make_report(
        model=report.model.model_copy(update={"file": "a b/ü?#.pt"}),
        samples=report.samples.model_copy(update={"class_names": (name,) * 3}),
    )

    [result] = run_of(report)["results"]

    said = result["message"]["text"]
    assert "a \\[b\\](http://c) {{0}} \\\\ \\\\x1b\\[31m\\\\u202e" in said
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert unquote(place) == "a b/ü?#.pt"
    assert place.isascii()
    assert not {" ", "?", "#"} & set(place)


@pytest.mark.parametrize(
    "name", ["model.pt", "a b#1 100%.pt", "modèle-模型.pt", "a:b?c=[d].pt", "\udcff.pt"]
)
def test_a_model_below_the_working_directory_is_placed_by_the_way_to_it(
    make_report: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    below = tmp_path / "here" / "my models"
    below.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")

    for model in (
        Path("my models", name),
        below / name,
        Path("../here/my models", name),
    ):
        content = json.loads(formats_with(model)["sarif"](make_report()))
        [run] = content["runs"]
        place = run["results"][0]["locations"][0]["physicalLocation"]
        uri = place["artifactLocation"]["uri"]
        assert run["artifacts"][0]["location"] == {"uri": uri}
        assert os.fsdecode(unquote_to_bytes(uri)) == f"my models/{name}"
        assert re.fullmatch(r"[\w./~-]*(%[0-9A-F]{2}[\w./~-]*)*", uri, re.ASCII)


def test_a_model_elsewhere_is_placed_by_a_file_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")

    assert uri_of(Path("../a b#%é.pt")) == f"{tmp_path.as_uri()}/a%20b%23%25%C3%A9.pt"
    assert uri_of(tmp_path / "link" / "model.pt") == "model.pt"


def accepting(**changes: Any) -> Acceptance:
    parts = {
        "model": "ab" * 32,
        "rule": "backdoor",
        "limit": None,
        "reason": "known \x1b[31m",
        "expires": date(2025, 6, 1),
    }
    return Acceptance.model_validate(parts | changes)


def test_a_broken_rule_is_a_result_and_the_exit_code_says_so(make_report: Any) -> None:
    policy = Policy(accuracy=1, residual=3)

    run = run_of(judged(make_report(), policy, ()))

    assert [r["ruleId"] for r in run["results"]] == ["RNP001", "RNP004", "RNP005"]
    for result in run["results"]:
        assert (
            run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]
            == (result["ruleId"])
        )
        assert "suppressions" not in result
    assert run["invocations"][0]["exitCode"] == 1
    assert run_of(make_report())["invocations"][0]["exitCode"] == 0


def test_evidence_that_is_left_has_a_rule_of_its_own(
    make_report: Any, make_verdict: Any
) -> None:
    report = make_report(verdict_after=make_verdict(level="weak"))

    run = run_of(judged(report, Policy(left=True), ()))

    assert [r["ruleId"] for r in run["results"]] == ["RNP001", "RNP006"]
    assert (
        run["tool"]["driver"]["rules"][run["results"][1]["ruleIndex"]]["id"] == "RNP006"
    )


def test_a_witness_that_is_not_heard_has_a_rule_of_its_own(make_report: Any) -> None:
    run = run_of(judged(make_report(label=None), Policy(unheard=True), ()))

    *_, unheard = run["results"]
    rule = run["tool"]["driver"]["rules"][unheard["ruleIndex"]]
    assert unheard["ruleId"] == rule["id"] == "RNP007"
    assert "says nothing of this model" in unheard["message"]["text"]


def test_what_is_accepted_is_suppressed_and_never_left_out(make_report: Any) -> None:
    entries = [accepting(), accepting(rule="residual", limit=5)]
    report = judged(make_report(), Policy(backdoor=True, residual=3), entries)

    run = run_of(report)

    assert [r["ruleId"] for r in run["results"]] == ["RNP001", "RNP005"]
    for result in run["results"]:
        [suppression] = result["suppressions"]
        assert suppression["kind"] == "external"
        assert suppression["status"] == "accepted"
        assert suppression["justification"] == "known \\x1b[31m (until 2025-06-01)"
    assert run["invocations"][0]["exitCode"] == 0


def test_an_expired_acceptance_suppresses_nothing(make_report: Any) -> None:
    entries = [accepting(expires=date(2024, 12, 31))]

    run = run_of(judged(make_report(), Policy(backdoor=True), entries))

    [result] = run["results"]
    assert "suppressions" not in result
    assert "expired on 2024-12-31" in result["message"]["text"]
    assert run["invocations"][0]["exitCode"] == 1
