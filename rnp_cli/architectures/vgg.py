"""VGG networks, with or without BatchNorm, in any depth, width and head.

Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015. Layers keep their places in ``features`` and ``classifier``;
the places that hold no parameters tell where the pooling and the dropout are. The head
is one linear layer, as in CIFAR ports, or several (``classifier.0``, ``.3``, ``.6``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rnp_cli.architectures.architecture import Candidate, imagenet_image_size
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.architectures.steps import (
    RELU,
    Activation,
    AveragePool,
    Conv,
    Dropout,
    Linear,
    MaxPool,
    Norm,
    Step,
    Steps,
)
from rnp_cli.architectures.vgg_layers import ConvSpec, VggSpec, plan_convs, read_spec

# configurations A, B, D, E of the paper: convolutions between poolings
_BLOCKS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
_USUAL_SIZES = (28, 32, 64, 96, 128, 224)


def vgg(spec: VggSpec) -> Steps:
    """Lay out convolutions with pooling between, pooling to a fixed size, the head."""
    steps: list[Step] = []
    channels, place = spec.in_channels, 0
    pooling = (MaxPool(2, 2), Dropout(0.3))
    for conv in spec.convs:
        steps += pooling[: conv.index - place]
        name, out = f"features.{conv.index}", conv.out_channels
        steps.append(Conv(name, channels, out, conv.kernel, bias=conv.bias))
        if conv.is_normalized:
            steps.append(Norm(f"features.{conv.index + 1}", out))
        steps.append(Activation(spec.activation))
        channels, place = out, conv.end
    return (*steps, pooling[0], AveragePool(spec.side), *_head(spec))


def _head(spec: VggSpec) -> Iterator[Step]:
    values = spec.convs[-1].out_channels * spec.side**2
    place = 0
    for index, outputs in spec.head:
        gap = (index or 0) - place
        if gap and place:
            yield RELU
            gap -= 1
        for _ in range(gap):
            yield Dropout(0.5)
        name = "classifier" if index is None else f"classifier.{index}"
        yield Linear(name, values, outputs)
        values, place = outputs, (index or 0) + 1


def read(shapes: Shapes) -> Sequence[Candidate]:
    """Read a member; the second reading activates by ELU, which no weight shows."""
    spec = read_spec(shapes)
    return [_candidate(spec), _candidate(replace(spec, activation="elu"))]


def member(slug: str, size: Size) -> Candidate | None:
    """Build ``vgg16-bn`` and the like for CIFAR, ``…-torchvision`` for ImageNet."""
    blocks = _BLOCKS.get(slug.partition("-")[0])
    if blocks is None or slug not in FAMILY.slugs:
        return None
    is_large = slug.endswith("-torchvision")
    classes, hidden = size.num_classes, 64 * (size.width or 64)
    large = ((0, hidden), (3, hidden), (6, classes))
    spec = VggSpec(
        in_channels=size.in_channels,
        convs=plan_convs(blocks, size.width or 64),
        head=large if is_large else ((None, classes),),
        side=7 if is_large else 1,
    )
    return _candidate(spec)


def _candidate(spec: VggSpec) -> Candidate:
    width = spec.convs[0].out_channels
    slug, name = _published(spec.convs, width)
    remarks = [] if width == 64 or slug == "vgg" else [f"width {width}"]
    if spec.activation == "elu":
        remarks.append("ELU")
    if len(spec.head) == 1:
        remarks.insert(0, "CIFAR")
    else:
        slug += "-torchvision"
    return Candidate(
        name=f"{name} ({', '.join(remarks)})" if remarks else name,
        slug=slug,
        steps=vgg(spec),
        num_classes=spec.num_classes,
        in_channels=spec.in_channels,
        image_size=_image_size(spec),
    )


def _published(convs: tuple[ConvSpec, ...], width: int) -> tuple[str, str]:
    for slug, blocks in _BLOCKS.items():
        if plan_convs(blocks, width) == convs:
            return f"{slug}-bn", f"VGG-{slug.removeprefix('vgg')}-BN"
    return "vgg", f"VGG with {len(convs)} convolutions"


def _image_size(spec: VggSpec) -> int | None:
    if len(spec.head) > 1 and spec.side > 1:
        return imagenet_image_size(num_classes=spec.num_classes)
    poolings = 1 + sum(conv.follows_pooling for conv in spec.convs)
    for size in _USUAL_SIZES:
        if size >> poolings == spec.side:
            return size
    return None


FAMILY = Family(
    slugs=(
        *(f"{name}-bn" for name in _BLOCKS),
        *(f"{name}-bn-torchvision" for name in _BLOCKS),
    ),
    read=read,
    member=member,
)
