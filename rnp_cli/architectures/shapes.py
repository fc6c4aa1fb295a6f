"""A checkpoint's names and shapes, and careful ways to read numbers from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
BATCH_COUNT = "num_batches_tracked"
_DEEPEST = 8  # parts of a name that are looked at; ours have five at most
_LARGEST_DIMENSION = 1 << 20  # of a width or a class count; keeps products in 64 bits


class Unreadable(Exception):
    """The names or shapes are not those of the family that tried to read them."""


class Shapes(Mapping[str, Shape]):
    """Tensor shapes by name, in the checkpoint's order."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = dict(shapes)

    @classmethod
    def of(cls, state_dict: Mapping[str, Tensor]) -> Shapes:
        """Take the shapes of a state_dict, without its values."""
        return cls({name: tuple(value.shape) for name, value in state_dict.items()})

    def __getitem__(self, name: str) -> Shape:
        return self._shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def out(self, *names: str) -> int:
        """Return the output channels of the first of these tensors that is present."""
        for name in names:
            if name in self._shapes:
                return self._dimension(name, 0)
        raise Unreadable(names)

    def into(self, name: str) -> int:
        """Return a weight's input channels (per group)."""
        return self._dimension(name, 1)

    def kernel(self, name: str) -> int:
        """Return a convolution's square, odd kernel size."""
        size = self._dimension(name, 2)
        if size != self._dimension(name, 3) or size % 2 == 0 or size > 31:
            raise Unreadable(name)
        return size

    def groups(self, name: str, in_channels: int) -> int:
        """Return a convolution's groups, given what flows into it."""
        groups, rest = divmod(in_channels, self.into(name))
        if rest or groups == 0 or self.out(name) % groups:
            raise Unreadable(name)
        return groups

    def count(self, stem: str) -> int:
        """Return how many of ``stem0.``, ``stem1.``, … exist without a gap."""
        number = 0
        while self.holds(f"{stem}{number}."):
            number += 1
        return number

    def holds(self, stem: str) -> bool:
        """Return whether a name goes on after ``stem``, one of its layers: "conv1."."""
        return stem in self._stems

    @cached_property
    def _stems(self) -> frozenset[str]:
        """All layers, so that a look for one takes no walk through all names."""
        found = set()
        for name in self._shapes:
            end = 0
            for _ in range(_DEEPEST):
                end = name.find(".", end) + 1
                if not end:
                    break
                found.add(name[:end])
        return frozenset(found)

    def has(self, part: str) -> bool:
        """Return whether any name contains ``part``."""
        return any(part in name for name in self._shapes)

    def under(self, prefix: str) -> Shapes:
        """Return the tensors whose names begin with ``prefix``, without it."""
        return Shapes(
            {
                name.removeprefix(prefix): shape
                for name, shape in self._shapes.items()
                if name.startswith(prefix)
            }
        )

    def prefixes(self) -> tuple[str, ...]:
        """Return the prefixes all names share, from none to the longest: "", "net."."""
        parts = [name.split(".")[:-1][:_DEEPEST] for name in self._shapes]
        shared = [""]
        for level in zip(*parts, strict=False):
            if len(set(level)) > 1:
                break
            shared.append(f"{shared[-1]}{level[0]}.")
        return tuple(shared)

    def named_head(self, *names: str) -> str:
        """Return the first of these layers that holds a linear weight."""
        for name in names:
            if len(self._shapes.get(f"{name}.weight", ())) == 2:
                return name
        raise Unreadable(names)

    def pool_side(self, head: str, width: int) -> int:
        """Return s where the head sees ``width`` channels pooled to s x s values."""
        values, rest = divmod(self.into(f"{head}.weight"), width)
        side = math.isqrt(values)
        if rest or side * side != values:
            return 1  # the comparison with the checkpoint then says what is wrong
        return max(side, 1)

    def _dimension(self, name: str, axis: int) -> int:
        shape = self._shapes.get(name, ())
        if axis >= len(shape) or not 1 <= shape[axis] <= _LARGEST_DIMENSION:
            raise Unreadable(name)
        return shape[axis]
