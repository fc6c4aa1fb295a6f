"""Wide residual networks of any depth and width, in the two common namings.

Source: Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016. One naming
(``block1.layer.0.bn1``, ``convShortcut``, ``fc``) projects the activated input, as the
paper's code does; the other (``layer1.0.bn1``, ``shortcut.0``, ``linear``) projects the
raw input, and its convolutions have biases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rnp_cli.architectures.architecture import Candidate, cifar_image_size
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.residual import (
    BlockSpec,
    Plan,
    Stages,
    depth,
    read_stages,
)
from rnp_cli.architectures.shapes import Shapes, Unreadable
from rnp_cli.architectures.steps import (
    RELU,
    AveragePool,
    Block,
    Conv,
    Linear,
    Norm,
    Steps,
)

_STEM = 16  # channels of the stem in the paper, whatever the widening factor


@dataclass(frozen=True, kw_only=True)
class WideSpec:
    """A wide network as numbers, and which of the namings it uses."""

    in_channels: int
    num_classes: int
    width: int
    stages: Stages
    nested: bool = True  # block1.layer.0 rather than layer1.0
    shortcut_name: str = "convShortcut"
    shortcut_is_activated: bool = True
    bias: bool = False
    shortcut_bias: bool = False
    head_name: str = "fc"
    side: int = 1


def wide_resnet(spec: WideSpec) -> Steps:
    """Lay out 3x3 stem, pre-activation stages, BatchNorm, pooling and linear head.

    Dropout inside the blocks is left out: it has no parameters and does nothing in
    eval mode.
    """
    stem = Conv("conv1", spec.in_channels, spec.width, 3, bias=spec.bias)
    at = "block{}.layer.{}" if spec.nested else "layer{}.{}"
    blocks = (
        _block(at.format(stage, number), block, spec)
        for stage, blocks in enumerate(spec.stages, 1)
        for number, block in enumerate(blocks)
    )
    width = spec.stages[-1][-1].out_channels
    head = Linear(spec.head_name, width * spec.side**2, spec.num_classes)
    return (stem, *blocks, Norm("bn1", width), RELU, AveragePool(spec.side), head)


def _block(name: str, block: BlockSpec, spec: WideSpec) -> Block:
    entry, middle, out = block.in_channels, block.middle, block.out_channels
    stride, at = block.stride, spec.shortcut_name
    at = "shortcut.0" if at == "shortcut" else at
    projection = Conv(at, entry, out, 1, stride, bias=spec.shortcut_bias)
    return Block(
        name=name,
        entry=(Norm("bn1", entry), RELU),
        body=(
            Conv("conv1", entry, middle, 3, stride, bias=spec.bias),
            Norm("bn2", middle),
            RELU,
            Conv("conv2", middle, out, 3, bias=spec.bias),
        ),
        shortcut=(projection,) if block.changes_shape else (),
        shortcut_is_after_entry=block.changes_shape and spec.shortcut_is_activated,
    )


def read(shapes: Shapes) -> Sequence[Candidate]:
    """Read a member of any depth and width; see the module about its shortcuts."""
    nested = shapes.has("block1.layer.")
    if not nested and "bn1.weight" not in shapes:
        raise Unreadable
    width = shapes.out("conv1.weight")
    at = "block{}.layer." if nested else "layer{}."
    stages = read_stages(shapes, width, at)
    if any(block.bottleneck for stage in stages for block in stage):
        raise Unreadable
    head = shapes.named_head("fc", "linear", "classifier")
    raw = shapes.has(".shortcut.")
    first = at.format(1) + "0."
    spec = WideSpec(
        in_channels=shapes.into("conv1.weight"),
        num_classes=shapes.out(f"{head}.weight"),
        width=width,
        stages=stages,
        nested=nested,
        shortcut_name="shortcut" if raw else "convShortcut",
        shortcut_is_activated=not raw,
        bias=f"{first}conv1.bias" in shapes,
        shortcut_bias=shapes.has(".shortcut.0.bias"),
        head_name=head,
        side=shapes.pool_side(head, stages[-1][-1].out_channels),
    )
    readings = [_candidate(spec)]
    if raw:
        readings.append(_candidate(replace(spec, shortcut_is_activated=True)))
    return readings


def member(slug: str, size: Size) -> Candidate | None:
    """Build ``wrn-DEPTH-FACTOR``; the depth is 6n + 4."""
    match = re.fullmatch(r"wrn-(\d{1,4})-(\d{1,3})", slug)
    if match is None:
        return None
    count, rest = divmod(int(match[1]) - 4, 6)
    factor = int(match[2])
    if rest or count < 1 or factor < 1:
        return None
    width = size.width or _STEM
    stages = Plan(blocks=(count, count, count)).stages(width * factor)
    first = replace(stages[0][0], in_channels=width)
    stages = ((first, *stages[0][1:]), *stages[1:])
    spec = WideSpec(
        in_channels=size.in_channels,
        num_classes=size.num_classes,
        width=width,
        stages=stages,
    )
    return _candidate(spec)


def _candidate(spec: WideSpec) -> Candidate:
    widths = [stage[-1].out_channels for stage in spec.stages]
    factor, rest = divmod(widths[0], spec.width)
    layers = depth(spec.stages) + 2  # the paper counts the shortcuts of the stages too
    is_regular = not rest and widths == [widths[0] << stage for stage in range(3)]
    slug = f"wrn-{layers}-{factor}" if is_regular else f"wrn-{layers}"
    name = slug.upper()
    if not is_regular:
        name += f" (widths {'-'.join(map(str, widths))})"
    elif spec.width != _STEM:
        name += f" (width {spec.width})"
    if spec.shortcut_name == "shortcut" and spec.shortcut_is_activated:
        name += ", activated shortcut"
    return Candidate(
        name=name,
        slug=slug,
        steps=wide_resnet(spec),
        num_classes=spec.num_classes,
        in_channels=spec.in_channels,
        image_size=cifar_image_size(
            num_classes=spec.num_classes, in_channels=spec.in_channels
        ),
    )


FAMILY = Family(
    slugs=("wrn-16-1", "wrn-16-2", "wrn-16-4", "wrn-28-2", "wrn-28-10", "wrn-40-2"),
    read=read,
    member=member,
)
