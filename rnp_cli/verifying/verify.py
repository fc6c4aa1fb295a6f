"""Whether a sanitized model, its report, its statement and its BOM agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rnp_cli._version import __version__
from rnp_cli.report.plain import plain
from rnp_cli.report.verification import Role, Verification, VerifiedFile
from rnp_cli.verifying.files import Files, read_files, sha256
from rnp_cli.verifying.links import links, outputs, recorded_name


def verify(
    model: Path,
    *,
    report: Path | None = None,
    statement: Path | None = None,
    bom: Path | None = None,
) -> Verification:
    """Compare a sanitized model with the files that were written with it.

    What is not given is looked for beside the model; a BOM need not be there. Nothing
    in the files is executed. Raises InputRefused where a file is not what it should
    be, and UsageError where one that is given is not there.
    """
    files = read_files(model, report, statement, bom)
    return Verification(
        tool_version=__version__,
        files=tuple(_listed(files)),
        links=tuple(links(files)),
        not_checked=tuple(_not_checked(files)),
    )


def _listed(files: Files) -> Iterator[VerifiedFile]:
    places = files.places
    found: list[tuple[Role, Path, str | None]] = [
        ("model", places.model, files.model.sha256),
        ("report", places.report, sha256(files.report)),
        ("statement", places.statement, sha256(files.statement)),
    ]
    if files.bom is not None:
        found.append(("bom", places.bom, sha256(files.bom)))
    for role, path, digest in found:
        yield VerifiedFile(role=role, path=plain(str(path)), sha256=digest)


def _not_checked(files: Files) -> Iterator[str]:
    yield (
        "Who made these files: nothing in them is signed. That they agree shows that "
        "none was changed by itself; whoever changes all of them can make them agree. "
        "Sign the statement, which holds the digests of the others: model_signing "
        "sign key STATEMENT --private_key KEY --signature STATEMENT.sig"
    )
    yield (
        "The input checkpoint and the clean samples: they are not here; only what the "
        "files say of them was compared."
    )
    yield "Whether the run that the report tells of took place, and what is in it."
    others = [o.file for o in outputs(files) if o.file != recorded_name(files)]
    if others:
        yield f"Other models of the same run: {', '.join(others)}."
