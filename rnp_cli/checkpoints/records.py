"""What a file's content becomes before there are tensors: plain, inert records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.dtypes import DType

if TYPE_CHECKING:
    from rnp_cli.graph import OnnxGraph  # for which it takes pydantic


@dataclass(frozen=True)
class Global:
    """A class or function that a pickle names. It is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Stub:
    """What a pickle would have made by calling ``cls``; kept, never made."""

    cls: object
    args: object
    state: object = None
    entries: dict[object, object] = field(default_factory=dict)
    elements: list[object] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class ItemSet:
    """The members of a set, unhashed."""

    items: list[object]


@dataclass(eq=False, slots=True)
class OddKey:
    """A dict key that is no plain scalar, compared by identity only."""

    value: object


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageRecord:
    """A run of elements that a pickle refers to; its bytes lie elsewhere."""

    key: str
    dtype: DType
    numel: int
    offset: int = 0  # elements, from the start of the stored run

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.numel * self.dtype.size


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorRecord:
    """A checked view of a storage: offset and strides count elements of ``dtype``."""

    storage_key: str
    dtype: DType
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    numel: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Where the bytes of one storage lie in memory."""

    buffer: mmap | bytearray | bytes
    start: int
    nbytes: int


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a format's reader hands on: an inert object tree and its storages."""

    format: str
    root: object
    storages: Mapping[str, Span]
    is_big_endian: bool = False
    findings: tuple[str, ...] = ()
    graph: OnnxGraph | None = None  # where the file has one


def children(value: object) -> Iterator[object]:
    """Everything that a record or container refers to directly."""
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, ItemSet):
        yield from value.items
    elif isinstance(value, OddKey):
        yield value.value
    elif isinstance(value, Stub):
        yield from (value.cls, value.args, value.state, value.entries, value.elements)
