from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from rnp_cli.provenance.bom import bom_bytes
from rnp_cli.provenance.bom_file import BomFile
from rnp_cli.report.sanitization import Report

HOSTILE = "a b\\x1b[31m<&\"'>%41/é.safetensors"


def written(report: Report, name: str = "m.safetensors") -> bytes:
    models = {name: "ab" * 32, "other.onnx": "ef" * 32}
    return bom_bytes(report, models, ("m.report.json", "cd" * 32), "m.intoto.json")


@pytest.fixture
def report(sanitized: Any) -> Report:
    found: Report = sanitized.result.report
    return found


@pytest.mark.parametrize("name", ["m.safetensors", HOSTILE])
def test_the_librarys_own_validator_accepts_it(report: Report, name: str) -> None:
    info = report.model.model_copy(update={"file": name})
    report = report.model_copy(update={"model": info, "verdict_after": None})

    bom = written(report, name)

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(bom.decode()) is None
    assert validator.validate_str(bom.decode().replace("SHA-256", "SHA-2")) is not None


def test_it_names_the_model_and_what_it_was_made_from(
    released: Any, digits: Any
) -> None:
    content = json.loads(released.bom.read_text())

    [model] = content["components"]
    assert model["type"] == "machine-learning-model"
    assert model["name"] == released.model.name
    digest = hashlib.sha256(released.model.read_bytes()).hexdigest()
    assert model["hashes"] == [{"alg": "SHA-256", "content": digest}]
    [ancestor] = model["pedigree"]["ancestors"]
    digest = hashlib.sha256(digits.model.read_bytes()).hexdigest()
    assert ancestor["hashes"] == [{"alg": "SHA-256", "content": digest}]
    urls = {r["type"]: r["url"] for r in model["externalReferences"]}
    assert urls == {
        "evidence": released.report.name,
        "attestation": released.statement.name,
    }
    properties = {p["name"]: p["value"] for p in model["properties"]}
    assert properties["rnp:outcome"] == "pruned"


def test_equal_arguments_give_equal_bytes(report: Report) -> None:
    other = written(report, "n.safetensors")

    assert written(report) == written(report)
    assert written(report) != other


def test_what_it_says_is_read_without_the_library(report: Report) -> None:
    bom = BomFile.model_validate_json(written(report), strict=True)

    model = bom.model_of("other.onnx")

    assert model is not None
    assert model.sha256 == "ef" * 32
    assert model.report_sha256 == "cd" * 32
    assert model.checkpoint_sha256 == report.model.sha256
    assert bom.model_of("third") is None
