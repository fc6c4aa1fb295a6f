"""MobileNetV2 in torchvision's naming, with the strides of ImageNet or of CIFAR.

Source: Sandler et al., CVPR 2018, table 2. A block adds its input where neither the
size nor the channels change. Names: ``features.0.0``, ``features.1.conv.0.0``,
``classifier.1``. CIFAR ports keep the names and drop two strides, which no weight
shows: a thousand classes are read as ImageNet first, anything else as CIFAR first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rnp_cli.architectures.architecture import (
    Candidate,
    cifar_image_size,
    imagenet_image_size,
)
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.shapes import Shapes, Unreadable
from rnp_cli.architectures.steps import (
    Activation,
    AveragePool,
    Block,
    Conv,
    Dropout,
    Linear,
    Norm,
    Step,
    Steps,
)

_BLOCKS = (1, 2, 3, 4, 3, 3, 1)  # in each stage
_CHANNELS = (16, 24, 32, 64, 96, 160, 320)
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_CIFAR_STRIDES = (1, 1, 2, 2, 1, 2, 1)


@dataclass(frozen=True, kw_only=True)
class MobileNetSpec:
    """A MobileNetV2 as numbers; ``blocks`` are (expanded or None, output) channels."""

    in_channels: int
    num_classes: int
    width: int
    blocks: tuple[tuple[int | None, int], ...]
    last: int
    for_cifar: bool


def mobilenet_v2(spec: MobileNetSpec) -> Steps:
    """Lay out 3x3 stem, inverted residuals, 1x1 convolution, pooling, linear head."""
    stem_stride = 1 if spec.for_cifar else 2
    steps = [*_convolution("features.0", spec.in_channels, spec.width, 3, stem_stride)]
    channels = spec.width
    stages = _CIFAR_STRIDES if spec.for_cifar else _STRIDES
    strides = [
        stride if number == 0 else 1
        for stride, count in zip(stages, _BLOCKS, strict=True)
        for number in range(count)
    ]
    blocks = zip(spec.blocks, strides, strict=True)
    for number, ((expanded, out), stride) in enumerate(blocks, 1):
        steps.append(_block(f"features.{number}", channels, expanded, out, stride))
        channels = out
    return (
        *steps,
        *_convolution(f"features.{len(strides) + 1}", channels, spec.last, 1),
        AveragePool(1),
        Dropout(0.2),
        Linear("classifier.1", spec.last, spec.num_classes),
    )


def _block(name: str, entry: int, expanded: int | None, out: int, stride: int) -> Block:
    middle = expanded or entry
    body: list[Step] = []
    if expanded is not None:
        body += _convolution("conv.0", entry, middle, 1)
    place = 0 if expanded is None else 1
    body += _convolution(f"conv.{place}", middle, middle, 3, stride, groups=middle)
    body += [Conv(f"conv.{place + 1}", middle, out, 1), Norm(f"conv.{place + 2}", out)]
    adds = stride == 1 and entry == out
    return Block(name=name, body=tuple(body), shortcut=() if adds else None)


def _convolution(
    name: str, entry: int, out: int, kernel: int, stride: int = 1, groups: int = 1
) -> Steps:
    return (
        Conv(f"{name}.0", entry, out, kernel, stride, groups),
        Norm(f"{name}.1", out),
        Activation("relu6"),
    )


def read(shapes: Shapes) -> Sequence[Candidate]:
    """Read a member of any width; its seventeen blocks must stand in the usual order.

    Each reading has the other's strides.
    """
    blocks: list[tuple[int | None, int]] = []
    for number in range(1, sum(_BLOCKS) + 1):
        at = f"features.{number}.conv"
        expands = f"{at}.3.weight" in shapes or f"{at}.2.running_mean" not in shapes
        expanded = shapes.out(f"{at}.0.0.weight", f"{at}.0.1.weight")
        place = 2 if expands else 1
        out = shapes.out(f"{at}.{place}.weight", f"{at}.{place + 1}.weight")
        blocks.append((expanded if expands else None, out))
    if shapes.count("features.") != sum(_BLOCKS) + 2:
        raise Unreadable("features")
    spec = MobileNetSpec(
        in_channels=shapes.into("features.0.0.weight"),
        num_classes=shapes.out("classifier.1.weight"),
        width=shapes.out("features.0.0.weight"),
        blocks=tuple(blocks),
        last=shapes.out("features.18.0.weight", "features.18.1.weight"),
        for_cifar=shapes.out("classifier.1.weight") != 1000,
    )
    return [_candidate(spec), _candidate(replace(spec, for_cifar=not spec.for_cifar))]


def member(slug: str, size: Size) -> Candidate | None:
    """Build ``mobilenet-v2``; a thousand classes get the strides of ImageNet."""
    if slug not in FAMILY.slugs:
        return None
    return _candidate(_published(size, for_cifar=size.num_classes != 1000))


def _published(size: Size, *, for_cifar: bool) -> MobileNetSpec:
    width = size.width or 32
    blocks: list[tuple[int | None, int]] = []
    entry = width
    for count, channels in zip(_BLOCKS, _CHANNELS, strict=True):
        out = max(1, channels * width // 32)
        for _ in range(count):
            blocks.append((6 * entry if blocks else None, out))
            entry = out
    return MobileNetSpec(
        in_channels=size.in_channels,
        num_classes=size.num_classes,
        width=width,
        blocks=tuple(blocks),
        last=40 * width,
        for_cifar=for_cifar,
    )


def _candidate(spec: MobileNetSpec) -> Candidate:
    classes, channels = spec.num_classes, spec.in_channels
    size = Size(num_classes=classes, in_channels=channels, width=spec.width)
    remarks = ["torchvision names"]
    remarks.append("CIFAR strides" if spec.for_cifar else "ImageNet strides")
    if spec.blocks != _published(size, for_cifar=spec.for_cifar).blocks:
        remarks.append("its own widths")
    elif spec.width != 32:
        remarks.append(f"width {spec.width}")
    return Candidate(
        name=f"MobileNetV2 ({', '.join(remarks)})",
        slug="mobilenet-v2",
        steps=mobilenet_v2(spec),
        num_classes=classes,
        in_channels=channels,
        image_size=cifar_image_size(num_classes=classes, in_channels=channels)
        if spec.for_cifar
        else imagenet_image_size(num_classes=classes),
    )


FAMILY = Family(
    slugs=("mobilenet-v2",),
    read=read,
    member=member,
)
