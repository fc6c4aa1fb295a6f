"""Reads plain pickles that hold NumPy arrays by name; others are refused by name."""

from __future__ import annotations

from rnp_cli.checkpoints.dtypes import DTYPES
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.records import (
    Contents,
    Global,
    Span,
    StorageRecord,
    Stub,
    TensorRecord,
)
from rnp_cli.checkpoints.refusals import malformed, unsupported
from rnp_cli.checkpoints.source import Source
from rnp_cli.checkpoints.views import contiguous_stride, view_of

_TYPES = {
    "b1": "bool",
    **{f"u{size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
    **{f"i{size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{f"f{size}": f"float{8 * size}" for size in (2, 4, 8)},
    **{f"c{size}": f"complex{8 * size}" for size in (8, 16)},
}
_STATE_PARTS = 5  # version, shape, type, whether it is in Fortran's order, bytes


def read_plain_pickle(root: object, source: Source, limits: LoadLimits) -> Contents:
    """Turn the arrays of an object tree into records; raises InputRefused."""
    storages: dict[str, Span] = {}
    known: dict[int, TensorRecord | None] = {}
    waiting: list[dict[object, object]] = [root] if isinstance(root, dict) else []
    seen = {id(root)}
    while waiting:
        table = waiting.pop()
        for key, value in table.items():
            if isinstance(value, Stub):
                if id(value) not in known:
                    known[id(value)] = _array(value, storages, limits)
                table[key] = known[id(value)] or value
            elif isinstance(value, dict) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)
    if not storages:
        raise unsupported(
            "It is a plain pickle, not a file that torch.save wrote, and it holds no "
            "NumPy arrays by name.",
            "Load it where it was made and save model.state_dict() with torch.save "
            "or as safetensors.",
        )
    if source.data.tell() != source.size:
        raise malformed("Something follows the end of the pickle.")
    return Contents(format="pickle of NumPy arrays", root=root, storages=storages)


def _array(
    stub: Stub, storages: dict[str, Span], limits: LoadLimits
) -> TensorRecord | None:
    """Make a record of what would become an array; None where it would not."""
    name, args = _called(stub)
    if name == "multiarray._reconstruct":
        state = stub.state
        if not isinstance(state, tuple) or len(state) != _STATE_PARTS:
            return None
        _, shape, kind, is_fortran, content = state
    elif name == "numeric._frombuffer" and len(args) == 4:
        content, kind, shape, order = args
        is_fortran = order == "F"
    else:
        return None
    raw, code = _bytes(content), _code(kind)
    if raw is None or code is None or not isinstance(shape, tuple):
        return None
    if code not in _TYPES:
        raise unsupported("A NumPy array has an element type that is not supported.")
    dtype = DTYPES[_TYPES[code]]
    key = f"array {len(storages)}"
    storage = StorageRecord(key=key, dtype=dtype, numel=len(raw) // dtype.size)
    record = view_of(storage, 0, shape, None, limits)
    if is_fortran:
        stride = contiguous_stride(record.size[::-1])[::-1]
        record = view_of(storage, 0, shape, stride, limits)
    storages[key] = Span(buffer=raw, start=0, nbytes=len(raw))
    return record


def _called(stub: Stub) -> tuple[str, tuple[object, ...]]:
    """Which of NumPy's functions would be called, and with what."""
    if not isinstance(stub.cls, Global) or not isinstance(stub.args, tuple):
        return "", ()
    module = stub.cls.module.replace("numpy._core.", "numpy.core.")
    return f"{module}.{stub.cls.name}".removeprefix("numpy.core."), stub.args


def _bytes(content: object) -> bytes | None:
    """Take the bytes, or turn back the text that old protocols make of them."""
    if isinstance(content, bytes):
        return content
    name, args = _called(content) if isinstance(content, Stub) else ("", ())
    if name in ("__builtin__.bytes", "builtins.bytes") and not args:
        return b""
    if name == "_codecs.encode" and len(args) == 2 and args[1] == "latin1":
        text = args[0]
        if isinstance(text, str):
            try:
                return text.encode("latin-1")
            except UnicodeEncodeError:
                raise malformed("A NumPy array holds more than bytes.") from None
    return None


def _code(kind: object) -> str | None:
    """Name the element type as NumPy does; None for objects, records and texts."""
    if not isinstance(kind, Stub) or _called(kind)[0] != "numpy.dtype":
        return None
    args, state = _called(kind)[1], kind.state
    if not args or not isinstance(args[0], str) or args[0][:1] in "OSUVmM":
        return None
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
    return args[0] if order in ("<", "|", "=") else f"{order}{args[0]}"
