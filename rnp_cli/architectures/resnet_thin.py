"""The thin residual networks for CIFAR-10: ResNet-20, -32, -44, -56, -110.

Source: He et al., CVPR 2016, section 4.2: three stages of 16, 32 and 64 channels.
Option A pads the shortcut with zero channels and has no parameters there; option B
projects it, recognized by ``shortcut.0`` or ``downsample.0`` in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnp_cli.architectures.architecture import Candidate, cifar_image_size
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.residual import Plan, depth, published
from rnp_cli.architectures.resnet import ResNetSpec, read_resnet, resnet
from rnp_cli.architectures.shapes import Shapes, Unreadable

_PLANS = {
    f"resnet{6 * count + 2}": Plan(blocks=(count, count, count))
    for count in (3, 5, 7, 9, 18)
}


def read(shapes: Shapes) -> Sequence[Candidate]:
    """Read a member of any depth: three stages behind a 3x3 stem."""
    spec = read_resnet(shapes)
    if spec.kernel > 3 or len(spec.stages) != 3:
        raise Unreadable
    projected = shapes.has(".shortcut.") or shapes.has(".downsample.")
    return [_candidate(spec if projected else replace(spec, shortcut="padding"))]


def member(slug: str, size: Size) -> Candidate | None:
    """Build ``resnet20`` and its deeper relatives, with option-A shortcuts."""
    if slug not in _PLANS:
        return None
    width = size.width or 16
    spec = ResNetSpec(
        in_channels=size.in_channels,
        num_classes=size.num_classes,
        width=width,
        stages=_PLANS[slug].stages(width),
        shortcut="padding",
    )
    return _candidate(spec)


def _candidate(spec: ResNetSpec) -> Candidate:
    slug = published(spec.stages, spec.width, _PLANS)
    remarks = []
    if spec.shortcut == "projection":
        remarks.append("option B")
    if slug is None:
        remarks.append("its own widths")
    elif spec.width != 16:
        remarks.append(f"width {spec.width}")
    remark = f" ({', '.join(remarks)})" if remarks else ""
    return Candidate(
        name=f"ResNet-{depth(spec.stages)}{remark}",
        slug=slug or "resnet-thin",
        steps=resnet(spec),
        num_classes=spec.num_classes,
        in_channels=spec.in_channels,
        image_size=cifar_image_size(
            num_classes=spec.num_classes, in_channels=spec.in_channels
        ),
    )


FAMILY = Family(slugs=tuple(_PLANS), read=read, member=member)
