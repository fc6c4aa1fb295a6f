"""Makes torch tensors of checked records, in place where that is possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.records import Contents, Span, TensorRecord
from rnp_cli.checkpoints.refusals import malformed, over_limit, quote, unsupported
from rnp_cli.checkpoints.views import is_contiguous

_SHARING_SLACK = 1 << 20
_SHOWN = 5


def make_tensors(
    records: Mapping[str, TensorRecord], contents: Contents, limits: LoadLimits
) -> dict[str, Tensor]:
    """Make contiguous CPU tensors that share memory with no other of them.

    A tensor that alone uses its storage lies in the memory that the file was read
    into; all others are copied. Raises InputRefused.
    """
    _check_total(records.values(), contents, limits)
    users = Counter(record.storage_key for record in records.values())
    return {
        name: _make(
            record,
            contents.storages[record.storage_key],
            may_share=users[record.storage_key] == 1,
            is_big_endian=contents.is_big_endian,
        )
        for name, record in records.items()
    }


def refuse_broken_values(state_dict: Mapping[str, Tensor]) -> None:
    """Raise InputRefused where a weight is NaN or infinite, or a bool is neither."""
    broken = [name for name, tensor in state_dict.items() if not _is_sound(tensor)]
    if broken:
        shown = ", ".join(quote(name) for name in broken[:_SHOWN])
        raise unsupported(
            f"{len(broken)} tensors hold NaN, infinite or impossible values: {shown}.",
            "Such a model computes nothing useful. Ask for a checkpoint from before "
            "its training diverged.",
        )


def _check_total(
    records: Iterable[TensorRecord], contents: Contents, limits: LoadLimits
) -> None:
    total = 0
    keys: set[str] = set()
    for record in records:
        total += record.numel * record.dtype.size
        keys.add(record.storage_key)
    stored = sum(contents.storages[key].nbytes for key in keys)
    if total > limits.max_tensor_bytes:
        raise over_limit(f"Its tensors would take {total:,} bytes.")
    if total > limits.max_sharing * stored + _SHARING_SLACK:
        raise over_limit("Its tensors claim far more bytes than the file holds.")


def _make(
    record: TensorRecord, span: Span, *, may_share: bool, is_big_endian: bool
) -> Tensor:
    dtype: torch.dtype = getattr(torch, record.dtype.name)
    if record.numel == 0:
        return torch.empty(record.size, dtype=dtype)
    width = record.dtype.size
    reach = 1 + sum(
        (n - 1) * s for n, s in zip(record.size, record.stride, strict=True)
    )
    start, nbytes = span.start + record.offset * width, reach * width
    if start + nbytes > span.start + span.nbytes:
        raise malformed("A tensor reaches beyond the end of its storage.")
    swaps = is_big_endian and record.dtype.word > 1
    buffer = span.buffer
    if not is_contiguous(record):
        buffer, start = _gathered(record, span, start, nbytes), 0
    elif swaps or not may_share or start % width:
        with memoryview(span.buffer) as view:
            buffer, start = bytearray(view[start : start + nbytes]), 0
    if swaps:
        words = torch.frombuffer(buffer, dtype=torch.uint8).view(-1, record.dtype.word)
        words.copy_(words.flip(1))
    flat = torch.frombuffer(buffer, dtype=dtype, count=record.numel, offset=start)
    return flat.view(record.size)


def _gathered(record: TensorRecord, span: Span, start: int, nbytes: int) -> bytearray:
    """Copy the elements of a strided view, and no more, into row-major order."""
    width = record.dtype.size
    raw = torch.frombuffer(span.buffer, dtype=torch.uint8, count=nbytes, offset=start)
    elements = raw.as_strided(
        (*record.size, width), (*(step * width for step in record.stride), 1)
    )
    gathered = bytearray(record.numel * width)
    torch.frombuffer(gathered, dtype=torch.uint8).view(elements.shape).copy_(elements)
    return gathered


def _is_sound(tensor: Tensor) -> bool:
    if tensor.dtype == torch.bool:
        return bool((tensor.view(torch.uint8) <= 1).all())
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    if tensor.element_size() == 1:
        tensor = tensor.float()
    if torch.isfinite(tensor.sum()):  # a sum hides no NaN or infinity
        return True
    return bool(torch.isfinite(tensor).all())
