"""Gathers the elements of a checked view into plain bytes, with nothing but Python."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Literal

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.records import Contents, TensorRecord
from rnp_cli.checkpoints.refusals import malformed, over_limit
from rnp_cli.checkpoints.views import contiguous_stride, is_contiguous

_SHARING_SLACK = 1 << 20
# Of a memoryview, by element size.
_FORMATS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_WIDEST = 8


def refuse_large(
    records: Iterable[TensorRecord], contents: Contents, limits: LoadLimits
) -> None:
    """Raise InputRefused where tensors take far more bytes than are stored."""
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


def tensor_bytes(record: TensorRecord, contents: Contents) -> memoryview:
    """All elements in row-major order, little-endian; in place where possible.

    Raises InputRefused where the view reaches beyond its storage.
    """
    if record.numel == 0:
        return memoryview(b"")
    span, width = contents.storages[record.storage_key], record.dtype.size
    reach = 1 + sum(
        (n - 1) * s for n, s in zip(record.size, record.stride, strict=True)
    )
    start, nbytes = span.start + record.offset * width, reach * width
    if start + nbytes > span.start + span.nbytes:
        raise malformed("A tensor reaches beyond the end of its storage.")
    stored = memoryview(span.buffer)[start : start + nbytes]
    if not is_contiguous(record):
        stored = _gathered(record, stored)
    if contents.is_big_endian and record.dtype.word > 1:
        stored = _swapped(stored, record.dtype.word)
    return stored


def _gathered(record: TensorRecord, stored: memoryview) -> memoryview:
    """Copy along the longest axis, so that few steps are taken outside of C."""
    width = min(record.dtype.size, _WIDEST)
    parts = record.dtype.size // width  # 2 for the widest complex numbers
    shape = (*record.size, parts)
    source = (*(step * parts for step in record.stride), 1)
    target = contiguous_stride(shape)
    moving = (axis for axis in range(len(shape)) if source[axis])  # expanded ones stay
    longest = max(moving, key=shape.__getitem__)
    count, step, wide = shape[longest], source[longest], target[longest]
    others = [axis for axis in range(len(shape)) if axis != longest and shape[axis] > 1]
    elements = stored.cast(_FORMATS[width])
    gathered = memoryview(bytearray(record.numel * record.dtype.size))
    places = gathered.cast(_FORMATS[width])
    for index in itertools.product(*(range(shape[axis]) for axis in others)):
        start = sum(i * source[axis] for i, axis in zip(index, others, strict=True))
        place = sum(i * target[axis] for i, axis in zip(index, others, strict=True))
        places[place : place + (count - 1) * wide + 1 : wide] = elements[
            start : start + (count - 1) * step + 1 : step
        ]
    return gathered


def _swapped(stored: memoryview, word: int) -> memoryview:
    turned = bytearray(len(stored))
    source = bytes(stored)
    for byte in range(word):
        turned[byte::word] = source[word - 1 - byte :: word]
    return memoryview(turned)
