"""From a report and the options of its run to the statement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from rnp_cli.provenance.statement import (
    BuildDefinition,
    Builder,
    BuildMetadata,
    Dependency,
    DigestSet,
    ExternalParameters,
    InternalParameters,
    Options,
    Predicate,
    RunDetails,
    Statement,
    Subject,
)
from rnp_cli.report.sanitization import Report
from rnp_cli.report.schema import RunInfo


def predicate(report: Report, options: Options) -> Predicate:
    """Say how a run came about; equal arguments give equal results."""
    asked = {name: getattr(options, name) for name in Options.model_fields}
    return Predicate(
        build_definition=BuildDefinition(
            external_parameters=ExternalParameters(
                **asked,
                model=report.model.file,
                labels=report.samples.labels,
                samples=report.samples.count,
                seed=report.seed,
            ),
            internal_parameters=InternalParameters(
                device=report.device, settings=report.settings
            ),
            resolved_dependencies=tuple(_dependencies(report)),
        ),
        run_details=RunDetails(
            builder=Builder(
                version={"rnp-cli": report.tool_version, "torch": report.torch_version}
            ),
            metadata=_times(report.run),
        ),
    )


def statement(said: Predicate, files: Mapping[str, str]) -> Statement:
    """Say it of files. files: SHA-256 by name."""
    subjects = tuple(
        Subject(name=name, digest=DigestSet(sha256=sha256))
        for name, sha256 in files.items()
    )
    return Statement(subject=subjects, predicate=said)


def _dependencies(report: Report) -> Iterator[Dependency]:
    yield Dependency(
        name=report.model.file,
        digest=DigestSet(sha256=report.model.sha256),
        annotations={"format": report.model.format},
    )
    if report.samples.sha256 is not None:
        yield Dependency(
            name="clean samples",
            digest=DigestSet(sha256=report.samples.sha256),
            annotations={"format": "list of sha256sum, sorted"},
        )


def _times(run: RunInfo) -> BuildMetadata:
    began = datetime.fromisoformat(run.started)
    return BuildMetadata(
        started_on=_timestamp(began),
        finished_on=_timestamp(began + timedelta(seconds=run.seconds)),
    )


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
