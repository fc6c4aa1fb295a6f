"""Writes the recovered tensors as one safetensors file, in the reader's process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import FileIO

from rnp_cli.checkpoints.dtypes import HANDOVER_DTYPES
from rnp_cli.checkpoints.records import Contents, TensorRecord
from rnp_cli.checkpoints.tensor_bytes import tensor_bytes

_ALIGNMENT = 64
_CODES = {dtype: code for code, dtype in HANDOVER_DTYPES.items()}


def write_tensors(
    file: FileIO, records: Mapping[str, TensorRecord], contents: Contents
) -> None:
    """Write the header, then one tensor after the other; raises InputRefused.

    Wide elements come first: then every tensor starts at a multiple of its width.
    """
    names = sorted(records, key=lambda name: -records[name].dtype.size)
    write(file, memoryview(_header({name: records[name] for name in names})))
    for name in names:
        write(file, tensor_bytes(records[name], contents))


def write(file: FileIO, content: memoryview) -> None:
    """Write everything, in as many pieces as the system wants."""
    while content:
        content = content[file.write(content) :]


def _header(records: Mapping[str, TensorRecord]) -> bytes:
    header: dict[str, object] = {}
    position = 0
    for name, record in records.items():
        end = position + record.numel * record.dtype.size
        header[name] = {
            "dtype": _CODES[record.dtype],
            "shape": record.size,
            "data_offsets": (position, end),
        }
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
