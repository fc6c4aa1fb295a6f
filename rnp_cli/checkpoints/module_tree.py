"""Walks the remains of a pickled nn.Module as state_dict() would walk the module."""

from __future__ import annotations

from collections.abc import Iterator

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.records import Global, ItemSet, Stub, TensorRecord
from rnp_cli.checkpoints.refusals import malformed, over_limit
from rnp_cli.checkpoints.unread import refuse_unread


def is_module(value: object) -> bool:
    """Whether a stub has the parts of an nn.Module or of a TorchScript module."""
    return isinstance(value, Stub) and (
        _is_scripted(value)
        or all(isinstance(_state(value).get(part), dict) for part in _PARTS)
    )


def module_tensors(module: Stub, limits: LoadLimits) -> dict[str, TensorRecord]:
    """Parameters and persistent buffers by full name; raises InputRefused."""
    tensors: dict[str, TensorRecord] = {}
    waiting: list[tuple[str, Stub]] = [("", module)]
    visited = 0
    while waiting:
        prefix, stub = waiting.pop()
        visited += 1
        if visited > limits.max_tensors or len(prefix) > limits.max_name_length:
            raise over_limit("Its modules contain each other without end.")
        below: list[tuple[str, Stub]] = []
        for name, value in _members(stub):
            refuse_unread(prefix + name, value)
            if isinstance(value, TensorRecord):
                tensors[prefix + name] = value
            elif isinstance(value, Stub) and is_module(value):
                below.append((f"{prefix}{name}.", value))
        waiting.extend(reversed(below))
    return tensors


_PARTS = ("_parameters", "_buffers", "_modules")


def _members(stub: Stub) -> Iterator[tuple[str, object]]:
    state = _state(stub)
    if _is_scripted(stub):
        tables = [state]
    else:
        tables = [table for p in _PARTS if isinstance(table := state[p], dict)]
    passing = state.get("_non_persistent_buffers_set")
    skipped = passing.items if isinstance(passing, ItemSet) else []
    names = {name for name in skipped if isinstance(name, str)}
    for table in tables:
        for name, value in table.items():
            if not isinstance(name, str):
                raise malformed("A module names a part of it by something odd.")
            if name not in names:
                yield name, value


def _state(stub: Stub) -> dict[object, object]:
    return stub.state if isinstance(stub.state, dict) else {}


def _is_scripted(stub: Stub) -> bool:
    return isinstance(stub.cls, Global) and (
        stub.cls.module == "__torch__" or stub.cls.module.startswith("__torch__.")
    )
