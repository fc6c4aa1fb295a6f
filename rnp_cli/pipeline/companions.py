"""What goes beside a sanitized model and its report: the statement, and the BOM."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from rnp_cli.errors import UsageError
from rnp_cli.pipeline.request import SanitizeRequest
from rnp_cli.provenance import attest
from rnp_cli.provenance.bom import bom_bytes, check_installed
from rnp_cli.provenance.names import bom_name, companion_places, statement_name
from rnp_cli.provenance.statement import Options, Predicate
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import Report


def check_companions(request: SanitizeRequest, report: Path) -> tuple[Path, ...]:
    """Return where they go; raise UsageError, before the work, where they cannot.

    report: where the report goes. The place of the BOM is theirs also where none is
    written: one of an earlier run would not be of the new model.
    """
    if request.bom:
        check_installed()
    places = companion_places(report)
    if request.model.resolve() in {place.resolve() for place in places}:
        raise UsageError("The output would replace the checkpoint that is read.")
    return places


def remove_stale(request: SanitizeRequest, report: Path) -> None:
    """Remove the BOM of an earlier run, which the new model is not of."""
    if not request.bom and request.force:
        report.with_name(bom_name(report.name)).unlink(missing_ok=True)


def origin_of(request: SanitizeRequest, report: Report) -> Predicate:
    """Say how the run came about."""
    turned = {
        **request.defense.model_dump(exclude_defaults=True),
        **request.evidence.model_dump(exclude_defaults=True),
    }
    return attest.predicate(
        report,
        Options(
            arch=None if request.arch is None else _without_folder(request.arch),
            max_samples=request.max_samples,
            method=request.method,
            when=request.when,
            compact=request.compact,
            input_size=request.input_size,
            value_range=request.value_range,
            mean=request.mean,
            std=request.std,
            config=turned,
        ),
    )


def companions(
    request: SanitizeRequest,
    report: Report,
    origin: Predicate,
    report_file: Mapping[Path, bytes],
    models: Mapping[Path, bytes],
) -> dict[Path, bytes]:
    """Return their contents by place.

    report_file and models: the bytes of these files, by place.
    """
    ((place, _),) = report_file.items()
    files = _digests({**models, **report_file})
    contents: dict[Path, bytes] = {}
    statement = statement_name(place.name)
    if request.bom:
        ((name, sha256),) = _digests(report_file).items()
        bom = bom_bytes(report, _digests(models), (name, sha256), plain(statement))
        contents[place.with_name(bom_name(place.name))] = bom
    files |= _digests(contents)
    contents[place.with_name(statement)] = attest.statement(origin, files).as_bytes()
    return contents


def _digests(files: Mapping[Path, bytes]) -> dict[str, str]:
    return {
        plain(path.name): hashlib.sha256(content).hexdigest()
        for path, content in files.items()
    }


def _without_folder(arch: str) -> str:
    """Leave the folders out of FILE.py:FACTORY: they are nobody's business."""
    return plain(arch.rpartition("/")[2])
