"""MobileNetV2 for small images, with a projection in every stride-1 shortcut.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
2018, on 32-pixel images as the public CIFAR-10 model collections train it: no stride in
the stem and the second stage, ReLU instead of ReLU6. Names: ``layers.0.conv1``,
``layers.0.shortcut.0``, ``conv2``, ``linear``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.architectures.architecture import Candidate, cifar_image_size
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.shapes import Shapes, Unreadable

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


class MobileNetV2(nn.Module):
    """3x3 stem, inverted residuals, 1x1 convolution, average pooling, linear head.

    Images are (batch, in_channels, height, width) float32; the result is
    (batch, num_classes) logits.
    """

    def __init__(self, spec: MobileNetSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(spec.in_channels, spec.width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(spec.width)
        self.layers = nn.Sequential(*(_Block(block) for block in spec.blocks))
        self.conv2 = nn.Conv2d(spec.blocks[-1].out_channels, spec.last, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(spec.last)
        self.pool = nn.AdaptiveAvgPool2d(spec.side)
        self.linear = nn.Linear(spec.last * spec.side**2, spec.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, num_classes)."""
        x: Tensor = self.layers(F.relu(self.bn1(self.conv1(images))))
        x = F.relu(self.bn2(self.conv2(x)))
        logits: Tensor = self.linear(self.pool(x).flatten(1))
        return logits


class _Block(nn.Module):
    def __init__(self, block: InvertedSpec) -> None:
        super().__init__()
        entry, middle, out = block.in_channels, block.expanded, block.out_channels
        self.conv1 = nn.Conv2d(entry, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(
            middle, middle, 3, block.stride, 1, groups=middle, bias=False
        )
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self._adds = block.stride == 1
        self.shortcut: nn.Module = nn.Identity()
        if self._adds and entry != out:
            conv = nn.Conv2d(entry, out, 1, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return out + self.shortcut(x) if self._adds else out


def read(shapes: Shapes) -> Sequence[Candidate]:
    """Read a member of any depth and width; the shortcuts tell the strides."""
    width = shapes.out("conv1.weight", "bn1.weight")
    blocks: list[InvertedSpec] = []
    channels = width
    for number in range(shapes.count("layers.")):
        at = f"layers.{number}."
        out_channels = shapes.out(f"{at}conv3.weight", f"{at}bn3.weight")
        keeps_size = shapes.has(f"{at}shortcut.") or channels == out_channels
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
        build=partial(MobileNetV2, spec),
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
