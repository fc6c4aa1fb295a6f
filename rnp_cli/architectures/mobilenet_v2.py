"""MobileNetV2 for small images, with a projection in every stride-1 shortcut.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
2018, on 32-pixel images as the public CIFAR-10 model collections train it: no stride in
the stem and the second stage, ReLU instead of ReLU6. Names: ``layers.0.conv1``,
``layers.0.shortcut.0``, ``conv2``, ``linear``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rnp_cli.architectures.architecture import Candidate, cifar_image_size
from rnp_cli.architectures.family import Family, Size
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

# expansion, channels, blocks, stride; the paper's table 2 with stride 1 in stage 2
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclass(frozen=True, kw_only=True)
class InvertedSpec:
    """One inverted residual: expand by 1x1, filter each channel by 3x3, project."""

    in_channels: int
    expanded: int
    out_channels: int
    stride: int


@dataclass(frozen=True, kw_only=True)
class MobileNetSpec:
    """A MobileNetV2 as numbers."""

    in_channels: int
    num_classes: int
    width: int
    blocks: tuple[InvertedSpec, ...]
    last: int  # channels before the head
    side: int = 1


def mobilenet_v2(spec: MobileNetSpec) -> Steps:
    """Lay out 3x3 stem, inverted residuals, 1x1 convolution, pooling, linear head."""
    blocks = (
        _block(f"layers.{number}", block) for number, block in enumerate(spec.blocks)
    )
    return (
        Conv("conv1", spec.in_channels, spec.width, 3),
        Norm("bn1", spec.width),
        RELU,
        *blocks,
        Conv("conv2", spec.blocks[-1].out_channels, spec.last, 1),
        Norm("bn2", spec.last),
        RELU,
        AveragePool(spec.side),
        Linear("linear", spec.last * spec.side**2, spec.num_classes),
    )


def _block(name: str, block: InvertedSpec) -> Block:
    entry, middle, out = block.in_channels, block.expanded, block.out_channels
    body = (
        Conv("conv1", entry, middle, 1),
        Norm("bn1", middle),
        RELU,
        Conv("conv2", middle, middle, 3, block.stride, groups=middle),
        Norm("bn2", middle),
        RELU,
        Conv("conv3", middle, out, 1),
        Norm("bn3", out),
    )
    return Block(name=name, body=body, shortcut=_shortcut(block))


def _shortcut(block: InvertedSpec) -> Steps | None:
    entry, out = block.in_channels, block.out_channels
    if block.stride != 1:
        return None
    if entry == out:
        return ()
    return Conv("shortcut.0", entry, out, 1), Norm("shortcut.1", out)


def read(shapes: Shapes) -> Sequence[Candidate]:
    """Read a member of any depth and width; the shortcuts tell the strides."""
    width = shapes.out("conv1.weight", "bn1.weight")
    blocks: list[InvertedSpec] = []
    channels = width
    for number in range(shapes.count("layers.")):
        at = f"layers.{number}."
        out_channels = shapes.out(f"{at}conv3.weight", f"{at}bn3.weight")
        keeps_size = shapes.holds(f"{at}shortcut.") or channels == out_channels
        block = InvertedSpec(
            in_channels=channels,
            expanded=shapes.out(f"{at}conv1.weight", f"{at}bn1.weight"),
            out_channels=out_channels,
            stride=1 if keeps_size else 2,
        )
        blocks.append(block)
        channels = out_channels
    if not blocks:
        raise Unreadable("layers")
    last = shapes.out("conv2.weight", "bn2.weight")
    spec = MobileNetSpec(
        in_channels=shapes.into("conv1.weight") if "conv1.weight" in shapes else 3,
        num_classes=shapes.out("linear.weight"),
        width=width,
        blocks=tuple(blocks),
        last=last,
        side=shapes.pool_side("linear", last),
    )
    return [_candidate(spec)]


def member(slug: str, size: Size) -> Candidate | None:
    """Build ``mobilenetv2-cifar``."""
    if slug not in FAMILY.slugs:
        return None
    return _candidate(_published(size))


def _published(size: Size) -> MobileNetSpec:
    width = size.width or 32
    blocks: list[InvertedSpec] = []
    channels = width
    for expansion, published, count, stride in _STAGES:
        out_channels = max(1, published * width // 32)
        for number in range(count):
            block = InvertedSpec(
                in_channels=channels,
                expanded=channels * expansion,
                out_channels=out_channels,
                stride=stride if number == 0 else 1,
            )
            blocks.append(block)
            channels = out_channels
    return MobileNetSpec(
        in_channels=size.in_channels,
        num_classes=size.num_classes,
        width=width,
        blocks=tuple(blocks),
        last=40 * width,
    )


def _candidate(spec: MobileNetSpec) -> Candidate:
    size = Size(
        num_classes=spec.num_classes, in_channels=spec.in_channels, width=spec.width
    )
    remarks = ["CIFAR"]
    if spec.blocks != _published(size).blocks:
        remarks.append("its own widths")
    elif spec.width != 32:
        remarks.append(f"width {spec.width}")
    return Candidate(
        name=f"MobileNetV2 ({', '.join(remarks)})",
        slug="mobilenetv2-cifar",
        steps=mobilenet_v2(spec),
        num_classes=spec.num_classes,
        in_channels=spec.in_channels,
        image_size=cifar_image_size(
            num_classes=spec.num_classes, in_channels=spec.in_channels
        ),
    )


FAMILY = Family(
    slugs=("mobilenetv2-cifar",),
    read=read,
    member=member,
)
