"""Reads safetensors files: a checked header, then bytes that are used in place."""

from __future__ import annotations

from rnp_cli.checkpoints.header import header_length, parse_header
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.named_code import NamedCode
from rnp_cli.checkpoints.records import Contents, Span, StorageRecord
from rnp_cli.checkpoints.source import Source
from rnp_cli.checkpoints.views import view_of


def read_safetensors(source: Source, limits: LoadLimits, named: NamedCode) -> Contents:
    """Turn a safetensors file into records; raises InputRefused."""
    length = header_length(source.data[:8], source.size, limits)
    header = parse_header(source.data[8 : 8 + length], source.size, limits)
    root: dict[object, object] = {}
    spans: dict[str, Span] = {}
    for name, entry in header.tensors.items():
        nbytes = entry.end - entry.start
        numel = nbytes // entry.dtype.size
        storage = StorageRecord(key=name, dtype=entry.dtype, numel=numel)
        root[name] = view_of(storage, 0, entry.shape, None, limits)
        spans[name] = Span(buffer=source.data, start=entry.start, nbytes=nbytes)
    return Contents(format="safetensors", root=root, storages=spans)
