"""A VGG network as plain numbers: written from a plan, or read from a state_dict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rnp_cli.architectures.shapes import Shapes, Unreadable


@dataclass(frozen=True, kw_only=True)
class ConvSpec:
    """A convolution at ``features.index``, with what stands before and after it."""

    index: int
    out_channels: int
    kernel: int = 3
    bias: bool = True
    is_normalized: bool = True
    follows_pooling: bool = False

    @property
    def end(self) -> int:
        """The first place after it, its BatchNorm and its activation."""
        return self.index + (3 if self.is_normalized else 2)


@dataclass(frozen=True, kw_only=True)
class VggSpec:
    """Convolutions, and linear layers as (place in ``classifier``, outputs).

    A place of None says that ``classifier`` itself is the one linear layer.
    """

    in_channels: int
    convs: tuple[ConvSpec, ...]
    head: tuple[tuple[int | None, int], ...]
    side: int
    activation: Literal["relu", "elu"] = "relu"

    @property
    def num_classes(self) -> int:
        """The outputs of the last linear layer."""
        return self.head[-1][1]


def plan_convs(blocks: tuple[int, ...], width: int) -> tuple[ConvSpec, ...]:
    """Return 3x3 convolutions with BatchNorm whose width doubles up to eightfold."""
    convs: list[ConvSpec] = []
    index = 0
    for block, count in enumerate(blocks):
        for number in range(count):
            follows_pooling = block > 0 and number == 0
            index += follows_pooling
            out_channels = width << min(block, 3)
            conv = ConvSpec(
                index=index,
                out_channels=out_channels,
                follows_pooling=follows_pooling,
            )
            convs.append(conv)
            index += 3
    return tuple(convs)


def read_spec(shapes: Shapes) -> VggSpec:
    """Read the layers from a state_dict's names and shapes. Raises Unreadable."""
    indices = _places(shapes, "features.", 4)
    convs: list[ConvSpec] = []
    free = 0  # the first place after the previous convolution and its activation
    for index in indices:
        at = f"features.{index}"
        gap = index - free
        if not 0 <= gap <= (2 if convs else 0):
            raise Unreadable(at)
        is_normalized = f"features.{index + 1}.running_mean" in shapes
        conv = ConvSpec(
            index=index,
            out_channels=shapes.out(f"{at}.weight"),
            kernel=shapes.kernel(f"{at}.weight"),
            bias=f"{at}.bias" in shapes,
            is_normalized=is_normalized,
            follows_pooling=gap > 0,
        )
        convs.append(conv)
        free = conv.end
    if not convs:
        raise Unreadable("features")
    head = _read_head(shapes)
    first = "classifier" if head[0][0] is None else f"classifier.{head[0][0]}"
    return VggSpec(
        in_channels=shapes.into("features.0.weight"),
        convs=tuple(convs),
        head=head,
        side=shapes.pool_side(first, convs[-1].out_channels),
    )


def _read_head(shapes: Shapes) -> tuple[tuple[int | None, int], ...]:
    if "classifier.weight" in shapes:
        return ((None, shapes.out("classifier.weight")),)
    places = _places(shapes, "classifier.", 2)
    ends = [-1, *places]
    if not places or any(b - a > 4 for a, b in zip(ends, ends[1:], strict=False)):
        raise Unreadable("classifier")
    return tuple((place, shapes.out(f"classifier.{place}.weight")) for place in places)


def _places(shapes: Shapes, stem: str, dimensions: int) -> list[int]:
    names = (
        name.removeprefix(stem).removesuffix(".weight")
        for name, shape in shapes.items()
        if name.startswith(stem)
        and name.endswith(".weight")
        and len(shape) == dimensions
    )
    return sorted(
        int(name)
        for name in names
        if name.isascii() and name.isdigit() and len(name) < 5
    )
