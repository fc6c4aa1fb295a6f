"""The report as SARIF 2.1.0, which code scanning services show beside other findings.

OASIS, "Static Analysis Results Interchange Format", version 2.1.0. There is a result
for the evidence in the model as it came, and one where it could not be made safe; a
model without evidence gives none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from rnp_cli.report import words
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_FOUND, _FAILED, _ASLEEP = "RNP001", "RNP002", "RNP003"
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
        "Unlearning still wakes the backdoor of the sanitized model",
        "Sanitize the model again after any fine-tuning.",
    ),
}


def sarif(report: Report) -> str:
    """Write one run with its rules and results."""
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
    run = {
        "tool": {"driver": driver},
        "artifacts": [
            {"location": _place(report), "hashes": {"sha-256": report.model.sha256}}
        ],
        "results": list(_results(report)),
        "invocations": [{"executionSuccessful": True, "exitCode": _exit_code(report)}],
    }
    content = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(content, indent=2) + "\n"


def _results(report: Report) -> Iterator[dict[str, Any]]:
    is_failed = words.tone(report) == "bad"
    if report.verdict.level != "none":
        level = "error" if report.verdict.level == "strong" else "warning"
        said = f"The model as it came shows {words.evidence(report.verdict, report)}."
        yield _result(_FOUND, level, said, report)
    if is_failed:
        yield _result(_FAILED, "error", words.said(report), report)
    if "asleep" in report.left and not is_failed:
        yield _result(_ASLEEP, "note", words.said(report), report)


def _result(rule: str, level: str, said: str, report: Report) -> dict[str, Any]:
    return {
        "ruleId": rule,
        "ruleIndex": list(_RULES).index(rule),
        "level": level,
        "message": {"text": _literal(said)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {**_place(report), "index": 0},
                    "region": {"startLine": 1},
                }
            }
        ],
        "partialFingerprints": {"modelSha256/v1": report.model.sha256},
    }


def _place(report: Report) -> dict[str, str]:
    return {"uri": quote(report.model.file)}


def _literal(text: str) -> str:
    """Keep brackets and braces of names from being read as links and placeholders."""
    text = plain(text)
    for read in "\\[]":
        text = text.replace(read, f"\\{read}")
    return text.replace("{", "{{").replace("}", "}}")


def _exit_code(report: Report) -> int:
    return 1 if words.tone(report) == "bad" else 0
