"""Finds how deep an object tree goes, without recursion and without hashing it."""

from __future__ import annotations

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.records import ItemSet, OddKey, Stub, children
from rnp_cli.checkpoints.refusals import over_limit

_CONTAINERS = (dict, list, tuple, ItemSet, OddKey, Stub)


def refuse_deep_nesting(root: object, limits: LoadLimits) -> None:
    """Raise InputRefused where containers lie too deep inside each other.

    Each object is visited once, level by level, however often it is shared.
    """
    level = [root]
    seen: set[int] = set()
    depth = 0
    while level:
        depth += 1
        if depth > limits.max_nesting:
            raise over_limit(f"Its objects nest more than {depth - 1} levels deep.")
        below: list[object] = []
        for value in level:
            for child in children(value):
                if isinstance(child, _CONTAINERS) and id(child) not in seen:
                    seen.add(id(child))
                    below.append(child)
        level = below
