from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from pydantic import ValidationError

from rnp_cli.provenance import attest
from rnp_cli.provenance.statement import Options, Statement
from rnp_cli.report.sanitization import Report

OPTIONS = Options(max_samples=2000, method="rnp+repair", when="evidence", config={})


def made(report: Report, options: Options = OPTIONS) -> Statement:
    files = {"model.safetensors": "ab" * 32, "model.report.json": "cd" * 32}
    return attest.statement(attest.predicate(report, options), files)


@pytest.fixture
def report(sanitized: Any) -> Report:
    found: Report = sanitized.result.report
    return found


def test_it_is_an_in_toto_statement_of_slsa_provenance(released: Any) -> None:
    content = json.loads(released.statement.read_text())

    assert content["_type"] == "https://in-toto.io/Statement/v1"
    assert content["predicateType"] == "https://slsa.dev/provenance/v1"
    named = {subject["name"]: subject["digest"] for subject in content["subject"]}
    assert named == {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in (released.model, released.report, released.bom)
    }
    definition = content["predicate"]["buildDefinition"]
    assert {"buildType", "externalParameters"} <= definition.keys()
    assert definition["externalParameters"]["maxSamples"] == 2000
    assert content["predicate"]["runDetails"]["builder"]["id"]
    assert b"null" not in released.statement.read_bytes()


def test_the_checkpoint_is_what_it_depends_on(released: Any, digits: Any) -> None:
    content = json.loads(released.statement.read_text())

    checkpoint, _ = content["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert checkpoint["name"] == digits.model.name
    digest = hashlib.sha256(digits.model.read_bytes()).hexdigest()
    assert checkpoint["digest"] == {"sha256": digest}


def test_the_clean_samples_are_what_it_depends_on_too(
    sanitized: Any, released: Any
) -> None:
    content = json.loads(released.statement.read_text())

    _, samples = content["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert samples["digest"] == {"sha256": sanitized.result.report.samples.sha256}


def test_a_report_from_before_they_were_digested_has_a_statement(
    report: Report,
) -> None:
    older = report.samples.model_copy(update={"sha256": None})

    said = made(report.model_copy(update={"samples": older})).predicate

    assert len(said.build_definition.resolved_dependencies) == 1


def test_of_a_run_only_the_times_are_left_out_of_its_digest(report: Report) -> None:
    run = report.run.model_copy(update={"started": "2001-02-03T04:05:06+00:00"})
    later = made(report.model_copy(update={"run": run})).predicate
    other = made(report.model_copy(update={"seed": 1})).predicate
    asked = made(report, OPTIONS.model_copy(update={"when": "always"})).predicate

    first = made(report).predicate
    assert later.run_details.metadata.started_on == "2001-02-03T04:05:06Z"
    assert later.digest() == first.digest()
    assert later.whole_digest() != first.whole_digest()
    assert len({p.digest() for p in (first, other, asked)}) == 3


def test_what_is_written_reads_back_and_is_written_alike(report: Report) -> None:
    options = OPTIONS.model_copy(
        update={
            "input_size": (8, 8),
            "mean": (0.1, 1e-05),
            "config": {"recover": {"epochs": 3}, "holdout_share": 0.4},
        }
    )
    written = made(report, options).as_bytes()

    again = Statement.model_validate_json(written, strict=True)

    assert again == made(report, options)
    assert again.as_bytes() == written


def test_what_rnp_does_not_write_is_no_statement_of_it(report: Report) -> None:
    content = json.loads(made(report).as_bytes())
    twice = {**content, "subject": [content["subject"][0]] * 2}
    more = {**content, "extra": 1}
    foreign = {**content, "predicateType": "https://slsa.dev/provenance/v2"}

    for wrong in (twice, more, foreign):
        with pytest.raises(ValidationError):
            Statement.model_validate_json(json.dumps(wrong), strict=True)
