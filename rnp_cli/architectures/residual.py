"""Residual stages as plain numbers: written from a plan, or read from shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rnp_cli.architectures.shapes import Shapes, Unreadable

Shortcut = Literal["projection", "padding"]


@dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """One residual block: two 3x3 convolutions, or a bottleneck of 1x1, 3x3, 1x1."""

    in_channels: int
    middle: int
    out_channels: int
    stride: int
    bottleneck: bool
    groups: int = 1

    @property
    def changes_shape(self) -> bool:
        """Whether the shortcut cannot be the identity."""
        return self.stride != 1 or self.in_channels != self.out_channels


Stages = tuple[tuple[BlockSpec, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a published residual network lays out its blocks."""

    blocks: tuple[int, ...]
    bottleneck: bool = False
    groups: int = 1
    group_width: int = 64  # of a group in the first stage of a 64-wide network

    def stages(self, width: int) -> Stages:
        """Return the blocks when ``width`` channels leave the stem."""
        result, in_channels = [], width
        for stage, count in enumerate(self.blocks):
            planes = width << stage
            middle = planes * self.groups * self.group_width // 64
            out_channels = planes * 4 if self.bottleneck else planes
            blocks = []
            for number in range(count):
                block = BlockSpec(
                    in_channels=in_channels,
                    middle=middle if self.bottleneck else planes,
                    out_channels=out_channels,
                    stride=2 if number == 0 and stage > 0 else 1,
                    bottleneck=self.bottleneck,
                    groups=self.groups,
                )
                blocks.append(block)
                in_channels = out_channels
            result.append(tuple(blocks))
        return tuple(result)


# He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1
PLANS = {
    "18": Plan(blocks=(2, 2, 2, 2)),
    "34": Plan(blocks=(3, 4, 6, 3)),
    "50": Plan(blocks=(3, 4, 6, 3), bottleneck=True),
    "101": Plan(blocks=(3, 4, 23, 3), bottleneck=True),
    "152": Plan(blocks=(3, 8, 36, 3), bottleneck=True),
}


def depth(stages: Stages) -> int:
    """Return the layers with weights on the longest path, stem and head included."""
    return 2 + sum(3 if block.bottleneck else 2 for stage in stages for block in stage)


def published(stages: Stages, width: int, plans: Mapping[str, Plan]) -> str | None:
    """Return which of the plans these stages follow, at whatever width."""
    for name, plan in plans.items():
        if plan.stages(width) == stages:
            return name
    return None


def read_stages(shapes: Shapes, in_channels: int, stem: str = "layer{}.") -> Stages:
    """Read ``layer1.0.conv1``, … ; the first block of each later stage halves the size.

    ``in_channels`` flow into the first stage. Raises Unreadable.
    """
    result: list[tuple[BlockSpec, ...]] = []
    while count := shapes.count(at := stem.format(len(result) + 1)):
        blocks = []
        for number in range(count):
            stride = 2 if number == 0 and result else 1
            blocks.append(_read_block(shapes, f"{at}{number}.", in_channels, stride))
            in_channels = blocks[-1].out_channels
        result.append(tuple(blocks))
    if len(result) < 2:
        raise Unreadable(stem)
    return tuple(result)


def _read_block(shapes: Shapes, at: str, in_channels: int, stride: int) -> BlockSpec:
    middle = shapes.out(f"{at}conv1.weight", f"{at}bn1.weight")
    bottleneck = f"{at}conv3.weight" in shapes
    if bottleneck:
        out_channels = shapes.out(f"{at}conv3.weight")
        groups = shapes.groups(f"{at}conv2.weight", middle)
    else:
        out_channels, groups = shapes.out(f"{at}conv2.weight", f"{at}bn2.weight"), 1
    return BlockSpec(
        in_channels=in_channels,
        middle=middle,
        out_channels=out_channels,
        stride=stride,
        bottleneck=bottleneck,
        groups=groups,
    )
