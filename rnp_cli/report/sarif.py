"""The report as SARIF 2.1.0, which code scanning services show beside other findings.

OASIS, "Static Analysis Results Interchange Format", version 2.1.0. There is a result
for the evidence in the model as it came, one where it could not be made safe, and one
for each other rule of the policy that is broken; a model without evidence gives none.
What somebody has accepted stays a result, with a suppression.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from rnp_cli.report import words
from rnp_cli.report.acceptance import Breach, RuleName
from rnp_cli.report.plain import in_json, plain
from rnp_cli.report.policy import is_failed
from rnp_cli.report.sanitization import Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_FOUND, _FAILED, _ASLEEP = "RNP001", "RNP002", "RNP003"
_BROKEN: Mapping[RuleName, str] = {
    "backdoor": _FOUND,
    "left": "RNP006",
    "accuracy": "RNP004",
    "residual": "RNP005",
    "unheard": "RNP007",
}
_RULES = {
    _FOUND: (
        "BackdoorEvidence",
        "The model shows evidence of a backdoor",
        "Use the sanitized model, or reject the file.",
    ),
    _FAILED: (
        "NotSafe",
        "The model could not be made safe",
        "Give more clean samples or another seed, or reject the file.",
    ),
    _ASLEEP: (
        "BackdoorAsleep",
        "Triggers show no backdoor in the sanitized model, unlearning or margins do",
        "Sanitize the model again after any fine-tuning.",
    ),
    _BROKEN["accuracy"]: (
        "AccuracyLost",
        "The sanitized model lost more accuracy than the policy allows",
        "Give more clean samples, or reject the file.",
    ),
    _BROKEN["residual"]: (
        "ResidualTrigger",
        "A recovered trigger still works better than the policy allows",
        "Give more clean samples or another seed, or reject the file.",
    ),
    _BROKEN["left"]: (
        "EvidenceLeft",
        "The sanitized model may still hold a backdoor, which the policy forbids",
        "Give more clean samples or another seed, or reject the file.",
    ),
    _BROKEN["unheard"]: (
        "WitnessUnheard",
        "One of the two kinds of evidence says nothing of this model",
        "Reject the file, or accept it with a reason.",
    ),
}


def sarif(report: Report, uri: str | None = None) -> str:
    """Write one run with its rules and results.

    uri: where the model lies; without it there is only the file's name, which is all
    that a report keeps.
    """
    place = {"uri": quote(report.model.file) if uri is None else uri}
    driver = {
        "name": "rnp",
        "version": report.tool_version,
        "rules": [
            {
                "id": number,
                "name": name,
                "shortDescription": {"text": short},
                "help": {"text": advice},
            }
            for number, (name, short, advice) in _RULES.items()
        ],
    }
    exit_code = int(is_failed(report))
    run = {
        "tool": {"driver": driver},
        "artifacts": [{"location": place, "hashes": {"sha-256": report.model.sha256}}],
        "results": [{**r, "locations": [_location(place)]} for r in _results(report)],
        "invocations": [{"executionSuccessful": True, "exitCode": exit_code}],
    }
    content = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return in_json(json.dumps(content, indent=2)) + "\n"


def _results(report: Report) -> Iterator[dict[str, Any]]:
    is_bad = words.tone(report) == "bad"
    by_rule = {breach.rule: breach for breach in report.breaches}
    found = by_rule.pop("backdoor", None)
    if report.verdict.level != "none":
        level = "error" if report.verdict.level == "strong" else "warning"
        said = f"the model as it came shows {words.evidence(report.verdict, report)}"
        said = said if found is None else found.said
        yield _result(_FOUND, level, _sentence(said), report, found)
    for rule, breach in by_rule.items():
        said = _sentence(breach.said)
        yield _result(_BROKEN[rule], "error", said, report, breach)
    if is_bad:
        yield _result(_FAILED, "error", words.said(report), report)
    if "asleep" in report.left and not is_bad:
        yield _result(_ASLEEP, "note", words.said(report), report)


def _result(
    rule: str, level: str, said: str, report: Report, breach: Breach | None = None
) -> dict[str, Any]:
    result = {
        "ruleId": rule,
        "ruleIndex": list(_RULES).index(rule),
        "level": level,
        "message": {"text": _literal(said)},
        "partialFingerprints": {"modelSha256/v1": report.model.sha256},
    }
    if breach is not None and breach.accepted is not None:
        why = f"{breach.accepted.reason} (until {breach.accepted.expires})"
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": plain(why)}
        ]
    return result


def _sentence(said: str) -> str:
    return f"{said[0].upper()}{said[1:]}."


def _location(place: Mapping[str, str]) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {**place, "index": 0},
            "region": {"startLine": 1},
        }
    }


def _literal(text: str) -> str:
    """Keep brackets and braces of names from being read as links and placeholders."""
    text = plain(text)
    for read in "\\[]":
        text = text.replace(read, f"\\{read}")
    return text.replace("{", "{{").replace("}", "}}")
