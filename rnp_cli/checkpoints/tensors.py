"""Makes torch tensors of what the reader handed over, where it lies in memory."""

from __future__ import annotations

import mmap
import os
from io import FileIO

import torch
from torch import Tensor

from rnp_cli.checkpoints.dtypes import HANDOVER_DTYPES
from rnp_cli.checkpoints.header import SafetensorsHeader, header_length, parse_header
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import reader_died
from rnp_cli.checkpoints.scan import Scan
from rnp_cli.errors import InputRefused

_MISMATCH = "handed over other tensors than it described"


def map_tensors(file: FileIO, scan: Scan, limits: LoadLimits) -> dict[str, Tensor]:
    """Make CPU tensors in the order of ``scan``, each with memory of its own.

    Pages are read when they are used, and copied only when they are written to; the
    file may be closed. Raises InputRefused where header and scan differ.
    """
    size = os.fstat(file.fileno()).st_size
    if size > limits.max_tensor_bytes + limits.max_header_bytes or size < 8:
        raise reader_died(_MISMATCH)
    memory = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
    header = _header(memory, size, limits)
    described = {t.name: (t.dtype, t.shape) for t in scan.tensors}
    found = {n: (e.dtype.name, e.shape) for n, e in header.tensors.items()}
    if described != found:
        raise reader_died(_MISMATCH)
    tensors = {name: _tensor(memory, header, name) for name in described}
    if not all(_is_sound_bool(tensor) for tensor in tensors.values()):
        raise reader_died(_MISMATCH)
    return tensors


def _header(memory: mmap.mmap, size: int, limits: LoadLimits) -> SafetensorsHeader:
    try:
        length = header_length(memory[:8], size, limits)
        return parse_header(memory[8 : 8 + length], size, limits, HANDOVER_DTYPES)
    except InputRefused:
        raise reader_died(_MISMATCH) from None


def _tensor(memory: mmap.mmap, header: SafetensorsHeader, name: str) -> Tensor:
    entry = header.tensors[name]
    dtype: torch.dtype = getattr(torch, entry.dtype.name)
    count = (entry.end - entry.start) // entry.dtype.size
    if not count:
        return torch.empty(entry.shape, dtype=dtype)
    flat = torch.frombuffer(memory, dtype=dtype, count=count, offset=entry.start)
    return flat.view(entry.shape)


def _is_sound_bool(tensor: Tensor) -> bool:
    if tensor.dtype != torch.bool:
        return True
    return bool((tensor.view(torch.uint8) <= 1).all())
