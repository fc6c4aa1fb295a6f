"""The digests and the metadata of a model that rnp wrote; needs no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from rnp_cli.checkpoints.header import header_length, parse_header
from rnp_cli.checkpoints.limits import DEFAULT_LIMITS, LoadLimits
from rnp_cli.checkpoints.onnx_metadata import onnx_metadata
from rnp_cli.checkpoints.refusals import quote, unsupported
from rnp_cli.checkpoints.sniff import Kind, sniff
from rnp_cli.checkpoints.source import Source, open_regular
from rnp_cli.checkpoints.torch_export import is_exported
from rnp_cli.checkpoints.torch_export_metadata import exported_metadata
from rnp_cli.checkpoints.zip_directory import read_directory
from rnp_cli.errors import InputRefused

_LENGTH = 8  # bytes that hold the length of the header, little-endian


@dataclass(frozen=True, kw_only=True)
class WrittenModel:
    """What a model file says of itself, and what it is.

    metadata: as the file has it; escape the texts before they are shown.
    tensors_sha256: of names, shapes, dtypes and values, as reports have it; None for
    a format whose tensors have to be read for that.
    """

    sha256: str
    metadata: dict[str, str]
    tensors_sha256: str | None


def read_written_model(path: Path, limits: LoadLimits = DEFAULT_LIMITS) -> WrittenModel:
    """Read a safetensors, ONNX or .pt2 file without executing any of it.

    Raises InputRefused for whatever is hostile, damaged, too large or of another
    format, and UsageError where there is no file.
    """
    try:
        with open_regular(path, limits) as file:
            return _read(file.load(), limits)
    except InputRefused as refusal:
        message = f"{quote(path.name)} is refused. {refusal.message}"
        raise InputRefused(message, hint=refusal.hint) from refusal


def _read(source: Source, limits: LoadLimits) -> WrittenModel:
    match sniff(source):
        case Kind.SAFETENSORS:
            end = _LENGTH + header_length(source.data[:_LENGTH], source.size, limits)
            header = parse_header(source.data[_LENGTH:end], source.size, limits)
            metadata = header.metadata
            tensors: str | None = _tensors_sha256(source, end)
        case Kind.ONNX:
            metadata, tensors = onnx_metadata(source, limits), None
        case Kind.ZIP if is_exported(read_directory(source, limits)):
            metadata, tensors = exported_metadata(source, limits), None
        case _:
            raise unsupported(
                "It is neither safetensors nor ONNX nor a torch.export archive.",
                "Give the model that rnp sanitize wrote.",
            )
    return WrittenModel(sha256=source.sha256, metadata=metadata, tensors_sha256=tensors)


def _tensors_sha256(source: Source, end: int) -> str:
    """Digest a safetensors file as if it had no metadata. end: of its header."""
    header = json.loads(source.data[_LENGTH:end])
    header.pop("__metadata__", None)
    text = json.dumps({"__metadata__": {}, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    digest = hashlib.sha256(len(text).to_bytes(_LENGTH, "little") + text)
    with memoryview(source.data) as view, view[end:] as data:
        digest.update(data)
    return digest.hexdigest()
