"""Read the model, and the files beside it that it leads to, as untrusted ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from rnp_cli.checkpoints.written import WrittenModel, read_written_model
from rnp_cli.errors import InputRefused, UsageError
from rnp_cli.provenance.bom_file import BomFile
from rnp_cli.provenance.names import bom_name, statement_name
from rnp_cli.provenance.statement import Statement
from rnp_cli.report.find import bounded_bytes, parse_report, report_bytes
from rnp_cli.report.sanitization import Report

_MOST_BYTES = 4 << 20
_HINT = "Give the file that rnp sanitize wrote beside the model."
C = TypeVar("C")
P = TypeVar("P", bound=BaseModel)


@dataclass(frozen=True)
class Read(Generic[C]):
    """A file's bytes, and what they say."""

    content: bytes
    said: C


def sha256(read: Read[C] | None) -> str | None:
    """Return the digest of the bytes, or None where there is no file."""
    return None if read is None else hashlib.sha256(read.content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the files are, or would be. bom: it need not be there."""

    model: Path
    report: Path
    statement: Path
    bom: Path


@dataclass(frozen=True, kw_only=True)
class Files:
    """What there is. report_name: as the model has it."""

    places: Places
    report_name: str
    model: WrittenModel
    tensors_sha256: str
    report: Read[Report] | None
    statement: Read[Statement] | None
    bom: Read[BomFile] | None


def read_files(
    model: Path, report: Path | None, statement: Path | None, bom: Path | None
) -> Files:
    """Read what is there; what is not given is looked for beside the model.

    Raises UsageError where a file that is given is not there, and InputRefused where
    one is not what it should be.
    """
    for given in filter(None, (report, statement, bom)):
        if not given.exists():
            raise UsageError(f"There is no file {given}.", hint="Check the path.")
    written = read_written_model(model)
    name = written.metadata.get("rnp_report", "")
    if not name or Path(name).name != name or "\0" in name:
        raise InputRefused(
            f"{model} was not written by rnp, or not by this version.",
            hint="Give the model that rnp sanitize wrote.",
        )
    places = Places(
        model=model,
        report=report or model.with_name(name),
        statement=statement or model.with_name(statement_name(name)),
        bom=bom or model.with_name(bom_name(name)),
    )
    return Files(
        places=places,
        report_name=name,
        model=written,
        tensors_sha256=written.tensors_sha256 or _read_tensors(model, written),
        report=_read(places.report, report_bytes, parse_report),
        statement=_read(places.statement, _small, _statement),
        bom=_read(places.bom, _small, _bom),
    )


def _read_tensors(path: Path, written: WrittenModel) -> str:
    """Digest the tensors of an ONNX or .pt2 file: they are read, by torch."""
    from rnp_cli.checkpoints import read_checkpoint
    from rnp_cli.export.safetensors import tensors_sha256

    checkpoint = read_checkpoint(path)
    if checkpoint.sha256 != written.sha256:
        raise InputRefused(f"{path} changed while it was being read.", hint=_HINT)
    return tensors_sha256(checkpoint.state_dict)


def _read(
    path: Path, read: Callable[[Path], bytes], parse: Callable[[bytes, Path], C]
) -> Read[C] | None:
    try:
        if not path.exists() and not path.is_symlink():
            return None
    except OSError as error:  # a name that is too long, say
        raise InputRefused(f"{path} cannot be read: {error}.", hint=_HINT) from error
    content = read(path)
    return Read(content, parse(content, path))


def _small(path: Path) -> bytes:
    kind = "a statement or a BOM"
    return bounded_bytes(path, most=_MOST_BYTES, kind=kind, hint=_HINT)


def _statement(content: bytes, path: Path) -> Statement:
    return _parsed(Statement, content, path, "a statement of rnp sanitize")


def _bom(content: bytes, path: Path) -> BomFile:
    return _parsed(BomFile, content, path, "a BOM of rnp sanitize")


def _parsed(kind: type[P], content: bytes, path: Path, what: str) -> P:
    try:
        return kind.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise InputRefused(
            f"{path} is not {what}, or one of another version.", hint=_HINT
        ) from error
