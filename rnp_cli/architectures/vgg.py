"""VGG networks, with or without BatchNorm, in any depth, width and head.

Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015. Layers keep their places in ``features`` and ``classifier``;
the places that hold no parameters tell where the pooling and the dropout are. The head
is one linear layer, as in CIFAR ports, or several (``classifier.0``, ``.3``, ``.6``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from rnp_cli.architectures.architecture import Candidate, imagenet_image_size
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.architectures.vgg_layers import ConvSpec, VggSpec, plan_convs, read_spec

# configurations A, B, D, E of the paper: convolutions between poolings
_BLOCKS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
_USUAL_SIZES = (28, 32, 64, 96, 128, 224)


class VGG(nn.Module):
    """Convolutions with pooling between, average pooling to a fixed size, linear head.

    Images are (batch, in_channels, height, width) float32; the result is
    (batch, num_classes) logits.
    """

    def __init__(self, spec: VggSpec) -> None:
        super().__init__()
        self.features = nn.Sequential(*_features(spec))
        self.avgpool = nn.AdaptiveAvgPool2d(spec.side)
        self.classifier = _classifier(spec)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, num_classes)."""
        pooled = self.avgpool(self.features(images)).flatten(1)
        logits: Tensor = self.classifier(pooled)
        return logits


def _features(spec: VggSpec) -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = spec.in_channels
    for conv in spec.convs:
        pooling: list[nn.Module] = [nn.MaxPool2d(2), nn.Dropout(0.3)]
        layers += pooling[: conv.index - len(layers)]
        out, kernel = conv.out_channels, conv.kernel
        layers.append(nn.Conv2d(channels, out, kernel, 1, kernel // 2, bias=conv.bias))
        if conv.is_normalized:
            layers.append(nn.BatchNorm2d(out))
        layers.append(nn.ELU() if spec.activation == "elu" else nn.ReLU())
        channels = out
    return [*layers, nn.MaxPool2d(2)]


def _classifier(spec: VggSpec) -> nn.Module:
    values = spec.convs[-1].out_channels * spec.side**2
    if spec.head[0][0] is None:
        return nn.Linear(values, spec.num_classes)
    layers: list[nn.Module] = []
    for index, out in spec.head:
        while len(layers) < (index or 0):
            follows_linear = bool(layers) and isinstance(layers[-1], nn.Linear)
            layers.append(nn.ReLU() if follows_linear else nn.Dropout(0.5))
        layers.append(nn.Linear(values, out))
        values = out
    return nn.Sequential(*layers)


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
        build=partial(VGG, spec),
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
