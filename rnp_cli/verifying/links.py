"""Every claim that one of the files makes about another, and whether it holds.

The model holds digests of what the report and the statement say, as far as that does
not depend on the model or the clock; the statement those of the files; the BOM those
of the model and the report. So no file can be changed alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from rnp_cli.errors import InputRefused
from rnp_cli.provenance import attest
from rnp_cli.provenance.names import bom_name
from rnp_cli.provenance.statement import Statement
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import OutputInfo, Report
from rnp_cli.report.verification import Link, Role
from rnp_cli.verifying.files import Files, sha256

_MODEL, _REPORT, _BOM = "model file", "report file", "BOM file"
_CHECKPOINT = "input checkpoint"


def links(files: Files) -> Iterator[Link]:
    """Compare the files, two at a time."""
    report = None if files.report is None else files.report.said
    yield from _of_model(files, report)
    yield from _of_report(files)
    yield from _of_subjects(files)
    yield from _of_statement(files, report)
    yield from _of_bom(files, report)


def recorded_name(files: Files) -> str:
    """Return the name that the model was written under; it may have another now."""
    name = plain(files.places.model.name)
    written = outputs(files)
    if not written or name in {output.file for output in written}:
        return name
    kind = files.places.model.suffix
    same = [o for o in written if o.tensors_sha256 == files.tensors_sha256]
    alike = [o for o in same or written if o.file.endswith(kind)]
    return (alike or same or list(written))[0].file


def outputs(files: Files) -> tuple[OutputInfo, ...]:
    """List the models that the report is of."""
    return () if files.report is None else files.report.said.outputs


def _of_model(files: Files, report: Report | None) -> Iterator[Link]:
    said = files.model.metadata.get
    found = None if report is None else report.digest()
    yield Link.between("model", "report, but times", said("rnp_report_sha256"), found)
    read = files.statement
    run = None if read is None else read.said.predicate.digest()
    yield Link.between(
        "model", "run in the statement", said("rnp_provenance_sha256"), run
    )
    yield _checkpoint("model", said("rnp_input_sha256"), report)


def _of_report(files: Files) -> Iterator[Link]:
    name = recorded_name(files)
    tensors = (o.tensors_sha256 for o in outputs(files) if o.file == name)
    found = files.tensors_sha256
    yield Link.between("report", "model's tensors", next(tensors, None), found)


def _of_subjects(files: Files) -> Iterator[Link]:
    """Compare the digests of files; every name of the statement has to be known."""
    named = {}
    if files.statement is not None:
        subjects = files.statement.said.subject
        named = {subject.name: subject.digest.sha256 for subject in subjects}
    bom = plain(bom_name(files.report_name))
    found = {
        recorded_name(files): (_MODEL, files.model.sha256),
        plain(files.report_name): (_REPORT, sha256(files.report)),
    }
    if files.bom is not None or bom in named:
        found[bom] = (_BOM, sha256(files.bom))
    for name, (what, digest) in found.items():
        yield Link.between("statement", what, named.get(name), digest)
    if files.report is None:
        return  # which says what other models there are
    known = {*found, *(output.file for output in outputs(files))}
    for name in sorted(named.keys() - known):
        yield Link.between("statement", f"file {name}", named[name], None)


def _of_statement(files: Files, report: Report | None) -> Iterator[Link]:
    checkpoint = run = rebuilt = form = None
    if files.statement is not None:
        said = files.statement.said
        checkpoint = _dependency(said)
        run = said.predicate.whole_digest()
        rebuilt = None if report is None else _rebuilt(said, report, files)
        form = hashlib.sha256(said.as_bytes()).hexdigest()
    yield _checkpoint("statement", checkpoint, report)
    yield Link.between("statement", "run in the report", run, rebuilt)
    yield Link.between("statement", "its own form", form, sha256(files.statement))


def _dependency(said: Statement) -> str:
    checkpoint, *_ = said.predicate.build_definition.resolved_dependencies
    return checkpoint.digest.sha256


def _rebuilt(said: Statement, report: Report, files: Files) -> str:
    """Digest what the statement would say of the run, going by the report."""
    options = said.predicate.build_definition.external_parameters
    try:
        return attest.predicate(report, options).whole_digest()
    except (ValueError, OverflowError) as error:  # a digest or a time that is none
        raise InputRefused(
            f"{files.places.report} holds values that no run gives.",
            hint="It was changed or is damaged: fetch it again.",
        ) from error


def _of_bom(files: Files, report: Report | None) -> Iterator[Link]:
    if files.bom is None:
        return
    model = files.bom.said.model_of(recorded_name(files))
    own = beside = checkpoint = None
    if model is not None:
        own, beside = model.sha256, model.report_sha256
        checkpoint = model.checkpoint_sha256
    yield Link.between("bom", _MODEL, own, files.model.sha256)
    yield Link.between("bom", _REPORT, beside, sha256(files.report))
    yield _checkpoint("bom", checkpoint, report)


def _checkpoint(said_by: Role, said: str | None, report: Report | None) -> Link:
    """Compare with the digest in the report, for the checkpoint itself is not here."""
    found = None if report is None else report.model.sha256
    return Link.between(said_by, _CHECKPOINT, said, found)
