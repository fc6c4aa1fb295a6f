"""The few constructors that are interpreted here, on records of our own.

Everything else that a pickle would call stays a Stub.
"""

from __future__ import annotations

from collections.abc import Callable

from rnp_cli.checkpoints.dtypes import DTYPES, STORAGE_CLASSES
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.records import (
    Global,
    ItemSet,
    OddKey,
    StorageRecord,
    Stub,
    TensorRecord,
)
from rnp_cli.checkpoints.refusals import hostile, malformed, unsupported
from rnp_cli.checkpoints.views import is_count, view_of

_MAX_BLANK_BYTES = 1 << 20


def construct(function: object, args: object, limits: LoadLimits) -> object:
    """Return what stands for ``function(*args)``; raises InputRefused."""
    if not isinstance(args, tuple):
        raise malformed("A pickle calls something with arguments that are no tuple.")
    if isinstance(function, Global):
        rule = _RULES.get(str(function))
        made = rule(args, limits) if rule else None
        return Stub(function, args) if made is None else made
    if isinstance(function, Stub):
        return Stub(function, args)
    raise malformed("A pickle calls something that is neither class nor function.")


def storage_of(persistent_id: object) -> object:
    """Interpret a persistent id: a storage, or a class saved with its source."""
    if not isinstance(persistent_id, tuple) or not persistent_id:
        raise malformed("A pickle refers to a storage in an unknown way.")
    kind, *rest = persistent_id
    if kind == "module" and rest and isinstance(rest[0], Global):
        return rest[0]
    if kind != "storage" or len(rest) not in (4, 5):
        raise malformed("A pickle refers to a storage in an unknown way.")
    cls, key, device, numel = rest[:4]
    dtype = STORAGE_CLASSES.get(cls.name) if isinstance(cls, Global) else None
    if dtype is None:
        raise unsupported("A tensor has an element type that is not supported.")
    if not (isinstance(key, str) and isinstance(device, str) and is_count(numel)):
        raise malformed("A storage has a malformed key, device or size.")
    return StorageRecord(key=key, dtype=dtype, numel=numel)


def storage_view(storage: StorageRecord, view: object) -> StorageRecord:
    """Narrow a storage to a part of it, given as (key, offset, size)."""
    if not (isinstance(view, tuple) and len(view) == 3):
        raise malformed("A part of a storage is described in an unknown way.")
    _, offset, numel = view
    if not (is_count(offset) and is_count(numel)) or offset + numel > storage.numel:
        raise malformed("A part of a storage reaches beyond its end.")
    return StorageRecord(
        key=storage.key, dtype=storage.dtype, numel=numel, offset=offset
    )


def dict_key(value: object) -> object:
    """Make a key that is safe to hash: scalars as they are, the rest by identity."""
    plain = str | bytes | int | float | bool | None
    return value if isinstance(value, plain) else OddKey(value)


def table_of(pairs: object) -> dict[object, object] | None:
    """Copy a dict or a list of pairs into a dict; None where it is neither."""
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, list | tuple):
        return None
    table: dict[object, object] = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return None
        table[dict_key(pair[0])] = pair[1]
    return table


_Args = tuple[object, ...]


def _tensor(args: _Args, limits: LoadLimits) -> object:
    """torch._utils._rebuild_tensor and _v2: storage, offset, size, stride."""
    if len(args) < 4 or not isinstance(args[0], StorageRecord):
        raise malformed("A tensor is rebuilt from something that is no storage.")
    _refuse_flags(args[6:7])
    return view_of(args[0], args[1], args[2], args[3], limits)


def _tensor_of_dtype(args: _Args, limits: LoadLimits) -> object:
    """torch._utils._rebuild_tensor_v3: as v2, with the element type beside it."""
    if len(args) < 7 or not isinstance(args[0], StorageRecord):
        raise malformed("A tensor is rebuilt from something that is no storage.")
    named = args[6]
    dtype = DTYPES.get(named.name) if isinstance(named, Global) else None
    if dtype is None:
        raise unsupported("A tensor has an element type that is not supported.")
    _refuse_flags(args[7:8])
    return view_of(args[0], args[1], args[2], args[3], limits, dtype)


def _refuse_flags(metadata: _Args) -> None:
    if metadata and isinstance(metadata[0], dict) and any(metadata[0].values()):
        raise unsupported("A tensor is marked as conjugated or negated.")


def _parameter(args: _Args, limits: LoadLimits) -> object:
    """torch._utils._rebuild_parameter and …_with_state: the tensor comes first."""
    return args[0] if args and isinstance(args[0], TensorRecord) else None


def _typed(args: _Args, limits: LoadLimits) -> object:
    """torch._tensor._rebuild_from_type_v2: function, type, args, state."""
    if len(args) < 3 or not isinstance(args[0], Global):
        return None
    if str(args[0]) == _TYPED:
        raise malformed("A tensor is rebuilt in circles.")
    return construct(args[0], args[2], limits)


def _ordered(args: _Args, limits: LoadLimits) -> object:
    return table_of(args[0]) if args else {}


def _default(args: _Args, limits: LoadLimits) -> object:
    return table_of(args[1]) if len(args) > 1 else {}


def _size(args: _Args, limits: LoadLimits) -> object:
    return tuple(args[0]) if args and isinstance(args[0], list | tuple) else None


def _set(args: _Args, limits: LoadLimits) -> object:
    return ItemSet(list(args[0])) if args and isinstance(args[0], list) else None


def _reconstructed(args: _Args, limits: LoadLimits) -> object:
    return Stub(args[0], ()) if args and isinstance(args[0], Global) else None


def _blank_bytes(args: _Args, limits: LoadLimits) -> object:
    if args and isinstance(args[0], int) and args[0] > _MAX_BLANK_BYTES:
        raise hostile("A pickle asks for a huge block of empty memory.")
    return None


_TYPED = "torch._tensor._rebuild_from_type_v2"
_RULES: dict[str, Callable[[_Args, LoadLimits], object]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    _TYPED: _typed,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _default,
    "collections.Counter": _ordered,
    "torch.Size": _size,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "__builtin__.set": _set,
    "__builtin__.frozenset": _set,
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "builtins.bytearray": _blank_bytes,
    "builtins.bytes": _blank_bytes,
    "__builtin__.bytearray": _blank_bytes,
}
