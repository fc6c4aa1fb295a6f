"""The JSON header of a safetensors file, checked in full; needs no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.dtypes import SAFETENSORS_DTYPES, DType
from rnp_cli.checkpoints.limits import DEFAULT_LIMITS, LoadLimits
from rnp_cli.checkpoints.refusals import malformed, over_limit, quote, unsupported
from rnp_cli.checkpoints.sniff import Kind, sniff
from rnp_cli.checkpoints.source import RegularFile, open_regular

if TYPE_CHECKING:
    from pathlib import Path  # the reader's process starts faster without

_MAX_DIMENSION = 1 << 63


@dataclass(frozen=True, kw_only=True)
class TensorEntry:
    """One tensor of the header; ``start`` and ``end`` count bytes of the file."""

    dtype: DType
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class SafetensorsHeader:
    """Every tensor in header order, and the free-form metadata."""

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]


def read_safetensors_metadata(
    path: Path, limits: LoadLimits = DEFAULT_LIMITS
) -> dict[str, str]:
    """Read the free-form metadata of a safetensors file.

    Raises InputRefused where the file is not safetensors or its header is unsound.
    The texts are as the file has them: escape them before they are shown.
    """
    with open_regular(path, limits) as file:
        if sniff(file) is not Kind.SAFETENSORS:
            raise unsupported("It is not a safetensors file.")
        return read_header(file, limits).metadata


def read_header(file: RegularFile, limits: LoadLimits) -> SafetensorsHeader:
    """Read and check the header of an open safetensors file."""
    length = header_length(file.read_at(0, 8), file.size, limits)
    return parse_header(file.read_at(8, length), file.size, limits)


def header_length(first: bytes, file_size: int, limits: LoadLimits) -> int:
    """Check the length that the first eight bytes declare, and return it."""
    length = int.from_bytes(first, "little")
    if length > limits.max_header_bytes:
        raise over_limit(
            f"Its header claims {length:,} bytes; the limit is "
            f"{limits.max_header_bytes:,}."
        )
    if 8 + length > file_size:
        raise malformed("Its header is longer than the file: it is truncated.")
    return length


def parse_header(
    text: bytes,
    file_size: int,
    limits: LoadLimits,
    dtypes: Mapping[str, DType] = SAFETENSORS_DTYPES,
) -> SafetensorsHeader:
    """Check the header's JSON against itself and against the size of the file."""
    try:
        decoded = json.loads(text.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise malformed("Its header is not valid JSON.") from None
    if not isinstance(decoded, dict):
        raise malformed("Its header is not a JSON object.")
    metadata = decoded.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise malformed("The metadata in its header is not a table of texts.")
    if len(decoded) > limits.max_tensors:
        raise over_limit(f"Its header names {len(decoded):,} tensors.")
    data_start = 8 + len(text)
    tensors = {
        name: _entry(name, entry, data_start, limits, dtypes)
        for name, entry in decoded.items()
    }
    _check_layout(tensors, data_start, file_size)
    return SafetensorsHeader(tensors=tensors, metadata=metadata)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise malformed("Its header names the same key twice.")
    return table


def _entry(
    name: str,
    entry: object,
    data_start: int,
    limits: LoadLimits,
    dtypes: Mapping[str, DType],
) -> TensorEntry:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise malformed(f"The header entry of {quote(name)} is malformed.")
    dtype = dtypes.get(entry["dtype"]) if _is_text(entry["dtype"]) else None
    if dtype is None:
        raise unsupported(f"{quote(name)} has an unknown element type.")
    shape, offsets = _counts(entry["shape"]), _counts(entry["data_offsets"])
    if shape is None or offsets is None or len(offsets) != 2:
        raise malformed(f"{quote(name)} has a malformed shape or position.")
    if len(shape) > limits.max_rank:
        raise malformed(f"{quote(name)} has {len(shape)} dimensions.")
    start, end = offsets
    if math.prod(shape) * dtype.size != end - start:
        raise malformed(f"The shape of {quote(name)} does not fit its data.")
    return TensorEntry(
        dtype=dtype, shape=shape, start=data_start + start, end=data_start + end
    )


def _check_layout(
    tensors: dict[str, TensorEntry], data_start: int, file_size: int
) -> None:
    position = data_start
    for name, entry in sorted(tensors.items(), key=lambda t: (t[1].start, t[1].end)):
        if entry.start != position:
            word = "overlaps another" if entry.start < position else "follows a hole"
            raise malformed(f"The data of {quote(name)} {word}.")
        position = entry.end
    if position > file_size:
        raise malformed("Its data ends early: the file is truncated.")
    if position < file_size:
        raise malformed(f"{file_size - position:,} bytes belong to no tensor.")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _counts(value: object) -> tuple[int, ...] | None:
    if isinstance(value, list) and all(
        type(item) is int and 0 <= item < _MAX_DIMENSION for item in value
    ):
        return tuple(value)
    return None
