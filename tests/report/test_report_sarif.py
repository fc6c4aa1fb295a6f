from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

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
