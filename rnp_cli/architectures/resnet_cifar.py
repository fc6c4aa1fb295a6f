"""Residual networks for small images: 3x3 stem, no max-pooling, four stages.

Source: the ImageNet layouts of He et al. (CVPR 2016) on 32-pixel images, as the public
CIFAR-10 model collections train them. Names: ``conv1``, ``layer1.0.conv1``,
``layer2.0.shortcut.0``, ``linear``; also ``downsample`` and ``fc``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnp_cli.architectures.architecture import Candidate, cifar_image_size
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.residual import PLANS, depth, published
from rnp_cli.architectures.resnet import ResNetSpec, read_resnet, resnet
from rnp_cli.architectures.shapes import Shapes, Unreadable


def read(shapes: Shapes) -> Sequence[Candidate]:
    """Read a member; the second reading pools after the stem, as some ports do."""
    spec = read_resnet(shapes)
    if spec.kernel > 3 or len(spec.stages) < 4:
        raise Unreadable
    readings = [_candidate(spec)]
    if spec.shortcut_name == "downsample":
        readings.append(_candidate(replace(spec, stem_pool=True)))
    return readings


def member(slug: str, size: Size) -> Candidate | None:
    """Build ``resnet18-cifar`` and its deeper relatives."""
    plan = PLANS.get(slug.removeprefix("resnet").removesuffix("-cifar"))
    if plan is None or slug not in FAMILY.slugs:
        return None
    width = size.width or 64
    spec = ResNetSpec(
        in_channels=size.in_channels,
        num_classes=size.num_classes,
        width=width,
        stages=plan.stages(width),
    )
    return _candidate(spec)


def _candidate(spec: ResNetSpec) -> Candidate:
    number = published(spec.stages, spec.width, PLANS)
    remarks = ["CIFAR"]
    if number is None:
        remarks.append("its own widths")
    elif spec.width != 64:
        remarks.append(f"width {spec.width}")
    if spec.stem_pool:
        remarks.append("pooling after the stem")
    return Candidate(
        name=f"ResNet-{depth(spec.stages)} ({', '.join(remarks)})",
        slug=f"resnet{number or ''}-cifar",
        steps=resnet(spec),
        num_classes=spec.num_classes,
        in_channels=spec.in_channels,
        image_size=cifar_image_size(
            num_classes=spec.num_classes, in_channels=spec.in_channels
        ),
    )


FAMILY = Family(
    slugs=tuple(f"resnet{number}-cifar" for number in PLANS),
    read=read,
    member=member,
)
