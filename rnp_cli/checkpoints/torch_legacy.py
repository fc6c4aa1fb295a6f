"""Reads the files that torch.save wrote before 1.6: five pickles, then raw storages."""

from __future__ import annotations

import struct

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.named_code import NamedCode
from rnp_cli.checkpoints.pickle_machine import unpickle_inertly
from rnp_cli.checkpoints.plain_pickle import read_plain_pickle
from rnp_cli.checkpoints.records import Contents, Span, StorageRecord
from rnp_cli.checkpoints.refusals import malformed, quote
from rnp_cli.checkpoints.source import Source

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read_torch_legacy(source: Source, limits: LoadLimits, named: NamedCode) -> Contents:
    """Turn a legacy torch file into records; raises InputRefused."""
    data = source.data
    data.seek(0)
    first = unpickle_inertly(data, limits, named).root
    if first != _MAGIC:
        return read_plain_pickle(first, source, limits)
    if unpickle_inertly(data, limits, named).root != _PROTOCOL:
        raise malformed("It names an unknown version of the legacy torch format.")
    unpickle_inertly(data, limits, named)  # facts about the machine that wrote it
    pickled = unpickle_inertly(data, limits, named)
    keys = unpickle_inertly(data, limits, named).root
    if (
        not isinstance(keys, list)
        or not all(isinstance(key, str) for key in keys)
        or len(keys) != len(pickled.storages)
        or set(keys) != set(pickled.storages)
    ):
        raise malformed("Its list of storages does not match its tensors.")
    return Contents(
        format="PyTorch legacy pickle",
        root=pickled.root,
        storages=_storages(source, data.tell(), keys, pickled.storages),
    )


def _storages(
    source: Source, position: int, keys: list[str], records: dict[str, StorageRecord]
) -> dict[str, Span]:
    """Find each storage: its number of elements (int64), then its bytes."""
    spans: dict[str, Span] = {}
    for key in keys:
        record = records[key]
        if position + 8 > source.size:
            raise malformed("The file is truncated: a storage is missing.")
        (numel,) = struct.unpack_from("<q", source.data, position)
        if numel != record.numel:
            raise malformed(
                f"The storage {quote(key)} should have {record.numel:,} elements and "
                f"has {numel:,}."
            )
        position += 8
        if position + record.nbytes > source.size:
            raise malformed("The file is truncated: a storage ends early.")
        spans[key] = Span(buffer=source.data, start=position, nbytes=record.nbytes)
        position += record.nbytes
    if position != source.size:
        raise malformed(f"{source.size - position:,} bytes follow the last storage.")
    return spans
