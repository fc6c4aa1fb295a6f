"""What an operator may ask about the run that it is part of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rnp_cli.graph import Attribute, OnnxGraph, OnnxNode

Operator = Callable[["Call"], Tensor]


@dataclass(frozen=True, eq=False)
class Call:
    """One node, the values of its inputs, and the images that are being computed.

    Integers and booleans are on the CPU, wherever the images are.
    """

    graph: OnnxGraph
    node: OnnxNode
    values: Sequence[Tensor | None]
    images: Tensor

    @property
    def x(self) -> Tensor:
        """The first input, which every operator has."""
        value = self.values[0]
        if value is None:
            raise ValueError("the first input is missing")
        return value

    def get(self, place: int) -> Tensor | None:
        """Return an input, or None where it is left out."""
        return self.values[place] if place < len(self.values) else None

    def attribute(self, name: str, default: Attribute) -> Attribute:
        """Return an attribute's value."""
        return self.node.attributes.get(name, default)

    def whole(self, name: str, default: int) -> int:
        """Return an attribute that is a whole number."""
        return int(self.attribute(name, default))  # type: ignore[arg-type]

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a number."""
        return float(self.attribute(name, default))  # type: ignore[arg-type]

    def integers(self, name: str, place: int) -> list[int] | None:
        """Return integers that are an attribute in old opsets and an input in new."""
        value = self.node.attributes.get(name)
        if isinstance(value, tuple):
            return list(value)
        given = self.get(place)
        if given is None:
            return None
        if given.is_floating_point():
            raise ValueError(f"{name} are no integers")
        integers: list[int] = given.flatten().tolist()
        return integers

    def scalar(self, place: int, default: float) -> float:
        """Return an input that must be a constant number of the graph."""
        name = self.node.inputs[place] if place < len(self.node.inputs) else ""
        if not name:
            return default
        if name not in self.graph.scalars:
            raise ValueError(f"input {place} is no constant number")
        return self.graph.scalars[name].value


def on_host(values: Sequence[int]) -> Tensor:
    """Return integers as a tensor on the CPU, whatever the default device is."""
    return torch.tensor(values, dtype=torch.int64, device="cpu")
