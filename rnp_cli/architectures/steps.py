"""A network as data: what it does to an image, step by step, and its weights' shapes.

``network`` makes a torch module of the steps. Nothing here needs torch, so that a
checkpoint can be compared with a network before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from rnp_cli.architectures.shapes import BATCH_COUNT, Shape, Shapes


@dataclass(frozen=True)
class Conv:
    """A convolution of square kernel, padded so that stride 1 keeps the size."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    groups: int = 1
    bias: bool = False

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Its tensors."""
        entry, out = self.in_channels // self.groups, self.out_channels
        weight = {"weight": (out, entry, self.kernel, self.kernel)}
        return {**weight, "bias": (out,)} if self.bias else weight


@dataclass(frozen=True)
class Norm:
    """BatchNorm of images."""

    name: str
    channels: int

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Its tensors."""
        names = ("weight", "bias", "running_mean", "running_var")
        return {**dict.fromkeys(names, (self.channels,)), BATCH_COUNT: ()}


@dataclass(frozen=True)
class Linear:
    """A fully connected layer with a bias."""

    name: str
    inputs: int
    outputs: int

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Its tensors."""
        return {"weight": (self.outputs, self.inputs), "bias": (self.outputs,)}


@dataclass(frozen=True)
class Activation:
    """A nonlinearity."""

    kind: Literal["relu", "relu6", "elu"] = "relu"


@dataclass(frozen=True)
class MaxPool:
    """The largest value in each window."""

    kernel: int
    stride: int
    padding: int = 0


@dataclass(frozen=True)
class AveragePool:
    """Averages to side x side values per channel, whatever the size, as one row."""

    side: int


@dataclass(frozen=True)
class Dropout:
    """Drops values in training; does nothing in eval mode."""

    share: float


@dataclass(frozen=True)
class Pad:
    """Takes every ``stride``-th pixel and puts zero channels before and after."""

    stride: int
    before: int
    after: int


@dataclass(frozen=True, kw_only=True)
class Block:
    """Steps under a common name, with a shortcut around them.

    ``entry`` comes first, then ``body``, and what ``shortcut`` makes of the block's
    input is added to the result, or what it makes of the entry's. A shortcut without
    steps adds just that; where it is None, nothing is added.
    """

    name: str
    entry: Steps = ()
    body: Steps
    shortcut: Steps | None = ()
    shortcut_is_after_entry: bool = False

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Its tensors."""
        return shapes_of((*self.entry, *self.body, *(self.shortcut or ())))


Layer = Conv | Norm | Linear | Block  # has a name, under which its tensors are
Step = Layer | Activation | MaxPool | AveragePool | Dropout | Pad
Steps = tuple[Step, ...]
RELU = Activation()


def layers_of(steps: Steps) -> Iterator[Layer]:
    """Yield the steps that have tensors."""
    return (step for step in steps if isinstance(step, Layer))


def shapes_of(steps: Steps) -> Shapes:
    """Return names and shapes of all tensors, in the order of the module's own."""
    return Shapes(
        {
            f"{layer.name}.{name}": shape
            for layer in layers_of(steps)
            for name, shape in layer.shapes.items()
        }
    )
