"""A CycloneDX ML-BOM of sanitized models, by cyclonedx-python-lib where installed.

The library knows no model cards, so that what is known of the network is in
properties. The statement is named without a digest: it holds the digest of the BOM.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from rnp_cli.errors import UsageError
from rnp_cli.report.sanitization import Report

if TYPE_CHECKING:
    from cyclonedx.model import ExternalReference, HashType
    from cyclonedx.model.bom import BomMetaData
    from cyclonedx.model.component import Component

_SERIALS = uuid.UUID("a4730e1f-157f-4287-af86-125190eabcf4")  # the space of our names


def check_installed() -> None:
    """Raise UsageError, before the work, where BOMs cannot be written."""
    try:
        from cyclonedx.output.json import JsonV1Dot6  # noqa: F401 - older ones have none
    except ImportError as error:
        raise UsageError(
            f"cyclonedx-python-lib, which writes BOMs, is not usable: {error}.",
            hint="pip install 'rnp-cli[bom]', or leave --bom out.",
        ) from error


def bom_bytes(
    report: Report,
    models: Mapping[str, str],
    report_file: tuple[str, str],
    statement: str,
) -> bytes:
    """Write the BOM as JSON of CycloneDX 1.6; equal arguments give equal bytes.

    models: SHA-256 by name. report_file: its name and SHA-256. statement: its name.
    Serial number and time are made from these and from the start of the run.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    digests = " ".join((*models.values(), report_file[1]))
    components = [
        _model(report, name, sha256, report_file, statement)
        for name, sha256 in models.items()
    ]
    bom = Bom(
        serial_number=uuid.uuid5(_SERIALS, digests),
        metadata=_metadata(report),
        components=components,
    )
    return JsonV1Dot6(bom).output_as_string(indent=2).encode() + b"\n"


def _metadata(report: Report) -> BomMetaData:
    from cyclonedx.model.bom import BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    tool = Component(
        name="rnp-cli",
        version=report.tool_version,
        type=ComponentType.APPLICATION,
        bom_ref="rnp-cli",
    )
    return BomMetaData(
        timestamp=datetime.fromisoformat(report.run.started),
        tools=ToolRepository(components=[tool]),
    )


def _model(
    report: Report,
    name: str,
    sha256: str,
    report_file: tuple[str, str],
    statement: str,
) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    ancestor = Component(
        name=report.model.file,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"checkpoint:{report.model.sha256}",
        hashes=[_hash(report.model.sha256)],
    )
    notes = f"Sanitized by rnp {report.tool_version}; outcome: {report.outcome}."
    return Component(
        name=name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{name}",
        hashes=[_hash(sha256)],
        pedigree=Pedigree(ancestors=[ancestor], notes=notes),
        external_references=_references(report_file, statement),
        properties=[Property(name=n, value=v) for n, v in _facts(report).items()],
    )


def _references(
    report_file: tuple[str, str], statement: str
) -> tuple[ExternalReference, ...]:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri

    name, sha256 = report_file
    return (
        ExternalReference(
            type=ExternalReferenceType.EVIDENCE,
            url=XsUri(quote(name)),
            comment="what was found and done",
            hashes=[_hash(sha256)],
        ),
        ExternalReference(
            type=ExternalReferenceType.ATTESTATION,
            url=XsUri(quote(statement)),
            comment="in-toto statement; it holds the digest of this BOM",
        ),
    )


def _hash(sha256: str) -> HashType:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=sha256)


def _facts(report: Report) -> dict[str, str]:
    parameters = report.model.parameters
    if report.compaction is not None:
        parameters = report.compaction.parameters_after
    facts = {
        "rnp:architecture": report.model.architecture,
        "rnp:parameters": str(parameters),
        "rnp:classes": str(report.samples.num_classes),
        "rnp:outcome": report.outcome,
        "rnp:evidence-before": report.verdict.level,
        "rnp:channels-pruned": str(len(report.pruned)),
        "rnp:clean-accuracy-before": f"{report.accuracy_before.value:.4f}",
        "rnp:clean-accuracy-after": f"{report.accuracy_after.value:.4f}",
    }
    if report.compaction is not None:
        facts["rnp:channels-left-out"] = str(report.compaction.removed)
    if report.verdict_after is not None:
        facts["rnp:evidence-after"] = report.verdict_after.level
    return facts
