"""Two tensors of a checkpoint that stand for one weight."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Names: of the two, of the weight, and of the one that has its shape."""

    first: str  # the weight takes its place in the order
    second: str
    weight: str
    shaped: str


def stem_of(name: str, *suffixes: str) -> str | None:
    """Return the name without the one of these suffixes that it has."""
    found = (name.removesuffix(end) for end in suffixes if name.endswith(end))
    return next(found, None)
