"""The free-form metadata of an ONNX model; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rnp_cli.checkpoints.limits import DEFAULT_LIMITS, LoadLimits
from rnp_cli.checkpoints.onnx_wire import METADATA, filtered
from rnp_cli.checkpoints.refusals import malformed, unsupported
from rnp_cli.checkpoints.sniff import Kind, sniff
from rnp_cli.checkpoints.source import Source, open_regular

_KEY, _VALUE = 1, 2


def read_onnx_metadata(
    path: Path, limits: LoadLimits = DEFAULT_LIMITS
) -> dict[str, str]:
    """Read the free-form metadata of an ONNX model; the graph is not looked at.

    Raises InputRefused where the file is not ONNX or its metadata is unsound. The
    texts are as the file has them: escape them before they are shown.
    """
    with open_regular(path, limits) as file:
        if sniff(file) is not Kind.ONNX:
            raise unsupported("It is not an ONNX model.")
        return onnx_metadata(file.load(), limits)


def onnx_metadata(source: Source, limits: LoadLimits) -> dict[str, str]:
    """Read the metadata from the bytes of a file; raises InputRefused."""
    metadata: dict[str, str] = {}
    for _, entry in _fields(filtered(source.data, METADATA, limits)):
        texts = {number: text.decode() for number, text in _fields(entry)}
        key = texts.get(_KEY, "")
        if key in metadata:
            raise malformed("Its metadata names the same key twice.")
        metadata[key] = texts.get(_VALUE, "")
    return metadata


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each field that the filter let pass.

    With this table they are entries and texts, whole and well formed.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        length, at = _varint(message, at)
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = place = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << place
        place += 7
        if byte < 0x80:
            return value, at
