"""Writes the recovered tensors as one safetensors file, in the reader's process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import FileIO

from rnp_cli.checkpoints.dtypes import HANDOVER_DTYPES
from rnp_cli.checkpoints.records import Contents, TensorRecord
from rnp_cli.checkpoints.tensor_bytes import tensor_bytes

_ALIGNMENT = 64
_CODES = {dtype: code for code, dtype in HANDOVER_DTYPES.items()}

# The bytes of each tensor by name, in whatever order serves best.
TensorBytes = Iterator[tuple[str, memoryview]]


def each_tensor(records: Mapping[str, TensorRecord], contents: Contents) -> TensorBytes:
    """Gather one tensor after the other; raises InputRefused."""
    for name in _aligned(records):
        yield name, tensor_bytes(records[name], contents)


def write_header(file: FileIO, records: Mapping[str, TensorRecord]) -> None:
    """Begin a file in which the tensors follow as ``each_tensor`` yields them."""
    header: dict[str, object] = {}
    position = 0
    for name in _aligned(records):
        record = records[name]
        end = position + record.numel * record.dtype.size
        header[name] = {
            "dtype": _CODES[record.dtype],
            "shape": record.size,
            "data_offsets": (position, end),
        }
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    write(file, memoryview(len(text).to_bytes(8, "little") + text))


def write(file: FileIO, content: memoryview) -> None:
    """Write everything, in as many pieces as the system wants."""
    while content:
        content = content[file.write(content) :]


def _aligned(records: Mapping[str, TensorRecord]) -> list[str]:
    """Wide elements first: then every tensor starts at a multiple of its width."""
    return sorted(records, key=lambda name: -records[name].dtype.size)
