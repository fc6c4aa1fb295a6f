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
from rnp_cli.checkpoints.refusals import broken_values, reader_died
from rnp_cli.checkpoints.scan import Scan
from rnp_cli.errors import InputRefused

# Elements: as much as torch adds up in one thread. The threads' meeting would take
# longer than the sum, and a hundred times longer where the machine is busy.
_PIECE = 32_768
_MISMATCH = "handed over other tensors than it described"


def map_tensors(file: FileIO, scan: Scan, limits: LoadLimits) -> dict[str, Tensor]:
    """Make CPU tensors in the order of ``scan``, each with memory of its own.

    Pages are read when they are used, and copied only when they are written to; the
    file may be closed. Raises InputRefused where header and scan differ, and where a
    value is NaN, infinite or, of a bool, impossible.
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
    broken = [name for name, tensor in tensors.items() if not _is_sound(tensor)]
    if broken:
        raise broken_values(broken)
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


def _is_sound(tensor: Tensor) -> bool:
    if tensor.dtype == torch.bool:
        return bool((tensor.view(torch.uint8) <= 1).all())
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    if tensor.element_size() == 1:
        tensor = tensor.float()
    return all(map(_is_finite, tensor.reshape(-1).split(_PIECE)))


def _is_finite(piece: Tensor) -> bool:
    if torch.isfinite(piece.sum()):  # a sum hides no NaN or infinity
        return True
    return bool(torch.isfinite(piece).all())
