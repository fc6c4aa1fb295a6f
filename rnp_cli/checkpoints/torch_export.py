"""Recovers the weights of a torch.export archive (.pt2); its graph stays unread.

torch.export.load hands the symbolic expressions in the graph to a parser that
evaluates Python. The weights need none of it: they are raw bytes and a JSON table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rnp_cli.checkpoints.dtypes import DTYPES
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.records import Contents, Span, StorageRecord, TensorRecord
from rnp_cli.checkpoints.refusals import malformed, over_limit, quote, unsupported
from rnp_cli.checkpoints.source import Source
from rnp_cli.checkpoints.views import view_of
from rnp_cli.checkpoints.zip_directory import Member
from rnp_cli.checkpoints.zip_members import check_unread, member_bytes, member_span

_CONFIG = "_weights_config.json"
_STRIDED = 7  # of torch's serialized layouts
# The numbers of torch's serialized element types.
_NAMES = (
    *(None, "uint8", "int8", "int16", "int32", "int64", "float16", "float32"),
    *("float64", None, "complex64", "complex128", "bool", "bfloat16"),
)
_TYPES = {
    **{number: DTYPES[name] for number, name in enumerate(_NAMES) if name},
    28: DTYPES["uint16"],
    29: DTYPES["float8_e4m3fn"],
    30: DTYPES["float8_e5m2"],
    34: DTYPES["uint32"],
    35: DTYPES["uint64"],
}
_NEXT_STEP = "Save the program's state_dict with safetensors.torch.save_file."


def is_exported(members: Mapping[str, Member]) -> bool:
    """Whether an archive's members are those of an exported program."""
    inner = {name.partition("/")[2] for name in members}
    return bool(inner & {"archive_format", "models/model.json"}) or any(
        name.startswith("serialized_exported_program") for name in members
    )


def read_exported(
    source: Source, members: Mapping[str, Member], limits: LoadLimits
) -> Contents:
    """Turn the table of weights into records; raises InputRefused."""
    configs = [m for name, m in members.items() if name.endswith(_CONFIG)]
    if len(configs) != 1:
        raise unsupported(
            "It is a torch.export archive (.pt2) whose weights are stored in a way "
            "that is not supported.",
            _NEXT_STEP,
        )
    folder = configs[0].name.rpartition("/")[0]
    _refuse_foreign_order(source, members)
    root: dict[object, object] = {}
    storages: dict[str, Span] = {}
    for name, entry in _table(source, configs[0], limits).items():
        member = members.get(f"{folder}/{_text(entry, 'path_name')}")
        if member is None:
            raise malformed(f"The weight {quote(name)} is missing from the archive.")
        if entry.get("use_pickle") is not False:
            raise unsupported(f"The weight {quote(name)} is a pickle.", _NEXT_STEP)
        if member.name not in storages:
            storages[member.name] = member_span(source, member)
        root[name] = _record(name, entry.get("tensor_meta"), member, limits)
    check_unread(source, [m for m in members.values() if m.name not in storages])
    return Contents(
        format="torch.export",
        root=root,
        storages=storages,
        findings=("the graph of the exported program is not read, only its weights",),
    )


def _table(
    source: Source, config: Member, limits: LoadLimits
) -> dict[str, dict[str, Any]]:
    if config.size > limits.max_header_bytes:
        raise over_limit(f"Its table of weights has {config.size:,} bytes.")
    try:
        decoded = json.loads(member_bytes(source, config))
    except (ValueError, RecursionError):
        decoded = None
    table = decoded.get("config") if isinstance(decoded, dict) else None
    if not isinstance(table, dict) or not all(
        isinstance(entry, dict) for entry in table.values()
    ):
        raise malformed("Its table of weights is malformed.")
    if len(table) > limits.max_tensors:
        raise over_limit(f"It names {len(table):,} weights.")
    return table


def _record(
    name: str, meta: object, member: Member, limits: LoadLimits
) -> TensorRecord:
    if not isinstance(meta, dict) or meta.get("layout") != _STRIDED:
        raise unsupported(f"The weight {quote(name)} is no dense tensor.", _NEXT_STEP)
    number = meta.get("dtype")
    dtype = _TYPES.get(number) if isinstance(number, int) else None
    if dtype is None:
        raise unsupported(f"{quote(name)} has an unknown element type.", _NEXT_STEP)
    storage = StorageRecord(
        key=member.name, dtype=dtype, numel=member.size // dtype.size
    )
    size, stride = _counts(meta.get("sizes")), _counts(meta.get("strides"))
    return view_of(storage, _count(meta.get("storage_offset")), size, stride, limits)


def _counts(values: object) -> object:
    return [_count(value) for value in values] if isinstance(values, list) else False


def _count(value: object) -> object:
    """Unwrap a number; an expression in its place is refused, never evaluated."""
    return value.get("as_int") if isinstance(value, dict) else None


def _text(entry: Mapping[str, object], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _refuse_foreign_order(source: Source, members: Mapping[str, Member]) -> None:
    for name, member in members.items():
        if name.partition("/")[2] == "byteorder" and (
            member.size != len(b"little") or member_bytes(source, member) != b"little"
        ):
            raise unsupported("Its weights are stored big-endian.", _NEXT_STEP)
