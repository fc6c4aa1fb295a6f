"""Finds the weights in an object tree and gives them their plain names."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.module_tree import is_module, module_tensors
from rnp_cli.checkpoints.origin import origin_of
from rnp_cli.checkpoints.records import Stub, TensorRecord
from rnp_cli.checkpoints.refusals import listed, over_limit, quote, unsupported
from rnp_cli.checkpoints.tensor_names import check_name
from rnp_cli.checkpoints.unread import refuse_unread

_PREFIXES = ("module.", "_orig_mod.")
_MAX_VISITS = 100_000
_MAX_DEPTH = 6
_MAX_DROPPED = 50
_MAX_SEQUENCE = 64

Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The named tensors of a model, and what surrounded them in the file."""

    tensors: dict[str, TensorRecord]
    wrapper: str
    prefix: str
    dropped: tuple[str, ...]
    findings: tuple[str, ...]


def find_weights(root: object, limits: LoadLimits) -> Weights:
    """Choose the mapping with the most tensors, the first among equals.

    Raises InputRefused where nothing holds named tensors.
    """
    origin = origin_of(root)
    path, tensors, rivals = _largest(root, origin.inside, limits)
    for name in tensors:
        check_name(name, limits)
    prefix, prefixes = "", (*_PREFIXES, *origin.prefixes)
    while part := next((p for p in prefixes if _all_start(tensors, p)), None):
        prefix += part
        tensors = {name.removeprefix(part): t for name, t in tensors.items()}
    findings = [*origin.findings]
    if rivals:
        findings.append(
            f"{quote('.'.join(path))} was taken for the weights; equally large: "
            f"{listed('.'.join(rival) for rival in rivals)}"
        )
    return Weights(
        tensors=tensors,
        wrapper=quote(".".join(path)),
        prefix=prefix,
        dropped=_dropped(root, path),
        findings=tuple(findings),
    )


def all_weights(root: object) -> Weights:
    """Take every tensor by its name in the file, which a graph refers to."""
    tensors = {
        name: child
        for name, child in _named_children(root).items()
        if isinstance(child, TensorRecord)
    }
    return Weights(tensors=tensors, wrapper="", prefix="", dropped=(), findings=())


def _largest(
    root: object, inside: Path, limits: LoadLimits
) -> tuple[Path, dict[str, TensorRecord], list[Path]]:
    best: dict[str, TensorRecord] = {}
    best_path: Path = ()
    rivals: list[Path] = []
    start = root
    for step in inside:
        start = _named_children(start)[step]
    waiting: deque[tuple[Path, object]] = deque([(inside, start)])
    seen: set[int] = set()
    while waiting:
        path, value = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if len(seen) > _MAX_VISITS:
            raise over_limit("The weights lie hidden among too many other objects.")
        found = _tensors_of(value, limits)
        if len(found) > len(best):
            best, best_path, rivals = found, path, []
        elif found and len(found) == len(best):
            rivals.append(path)
        if len(path) < _MAX_DEPTH and not is_module(value):
            waiting.extend(
                ((*path, name), child)
                for name, child in _named_children(value).items()
                if isinstance(child, dict | list | tuple | Stub)
            )
    if not best:
        top = _named_children(root)
        holds = f"It holds: {listed(top)}." if top else "It is a single object."
        raise unsupported(f"It holds no named tensors. {holds}")
    return best_path, best, rivals


def _tensors_of(value: object, limits: LoadLimits) -> dict[str, TensorRecord]:
    if isinstance(value, Stub) and is_module(value):
        return module_tensors(value, limits)
    if isinstance(value, list | tuple):
        return {}
    return {
        name: child
        for name, child in _named_children(value).items()
        if isinstance(child, TensorRecord)
    }


def _named_children(value: object) -> dict[str, object]:
    if isinstance(value, Stub):
        value = value.state
    if isinstance(value, dict):
        return {name: child for name, child in value.items() if isinstance(name, str)}
    if isinstance(value, list | tuple) and len(value) <= _MAX_SEQUENCE:
        return {str(index): child for index, child in enumerate(value)}
    return {}


def _dropped(root: object, path: Path) -> tuple[str, ...]:
    """Everything beside the path to the weights, and what among them is no tensor."""
    names: list[str] = []
    value = root
    for depth, step in enumerate(path):
        above = [*path[:depth]]
        table = _named_children(value)
        names.extend(".".join([*above, name]) for name in table if name != step)
        value = table[step]
    if not is_module(value):
        for name, child in _named_children(value).items():
            refuse_unread(name, child)
            if not isinstance(child, TensorRecord):
                names.append(".".join([*path, name]))
    shown = [quote(name) for name in names[:_MAX_DROPPED]]
    if len(names) > _MAX_DROPPED:
        shown.append(f"… and {len(names) - _MAX_DROPPED} more")
    return tuple(shown)


def _all_start(tensors: Mapping[str, TensorRecord], prefix: str) -> bool:
    return all(name.startswith(prefix) and name != prefix for name in tensors)
