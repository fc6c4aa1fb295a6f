"""Checks that a tensor fits its storage, in Python integers, before one is made."""

from __future__ import annotations

import math
from typing import TypeGuard

from rnp_cli.checkpoints.dtypes import DType
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.records import StorageRecord, TensorRecord
from rnp_cli.checkpoints.refusals import malformed, unsupported

_MAX_COUNT = 1 << 63


def view_of(
    storage: StorageRecord,
    offset: object,
    size: object,
    stride: object,
    limits: LoadLimits,
    dtype: DType | None = None,
) -> TensorRecord:
    """Make the record of a view that lies within its storage.

    ``stride`` None means contiguous, ``dtype`` None means the storage's own.
    Raises InputRefused.
    """
    dtype = dtype or storage.dtype
    shape = _counts(size, "size", limits)
    steps = contiguous_stride(shape) if stride is None else None
    steps = _counts(stride, "stride", limits) if steps is None else steps
    if not is_count(offset):
        raise malformed("A tensor has an offset that is no count.")
    if len(shape) != len(steps):
        raise malformed("A tensor has another number of sizes than of strides.")
    start = storage.offset * storage.dtype.size
    if start % dtype.size:
        raise malformed("A tensor starts within an element of its storage.")
    numel = math.prod(shape)
    available = storage.nbytes // dtype.size
    span = 1 + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    if offset + (span if numel else 0) > available:
        raise malformed("A tensor reaches beyond the end of its storage.")
    if numel > available:
        raise unsupported(
            "A tensor repeats its storage: it claims more elements than are stored.",
            "An attack may use this to exhaust memory. If the file is sound, save "
            "its weights again with .contiguous().",
        )
    return TensorRecord(
        storage_key=storage.key,
        dtype=dtype,
        offset=start // dtype.size + offset,
        size=shape,
        stride=steps,
        numel=numel,
    )


def is_count(value: object) -> TypeGuard[int]:
    """Whether a value from a file is an integer in [0, 2**63)."""
    return type(value) is int and 0 <= value < _MAX_COUNT


def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides, in elements."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def is_contiguous(tensor: TensorRecord) -> bool:
    """Whether the elements lie in row-major order without gaps."""
    expected = contiguous_stride(tensor.size)
    return tensor.numel == 0 or all(
        count == 1 or step == wanted
        for count, step, wanted in zip(
            tensor.size, tensor.stride, expected, strict=True
        )
    )


def _counts(value: object, what: str, limits: LoadLimits) -> tuple[int, ...]:
    if not isinstance(value, tuple | list):
        raise malformed(f"A tensor has a {what} that is no list of counts.")
    if len(value) > limits.max_rank:
        raise malformed(f"A tensor has {len(value):,} dimensions.")
    if not all(is_count(item) for item in value):
        raise malformed(f"A tensor has a negative or absurd {what}.")
    return tuple(value)
