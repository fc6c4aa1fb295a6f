"""torchvision's residual networks: 7x7 stem with max-pooling, for 224-pixel images.

Sources: He et al., CVPR 2016; ResNeXt: Xie et al., CVPR 2017; Wide ResNet-50-2:
Zagoruyko and Komodakis, BMVC 2016. Names: ``conv1``, ``layer2.0.downsample.0``, ``fc``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnp_cli.architectures.architecture import Candidate, imagenet_image_size
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.residual import PLANS, Plan, depth, published
from rnp_cli.architectures.resnet import ResNetSpec, read_resnet, resnet
from rnp_cli.architectures.shapes import Shapes, Unreadable

_PLANS = {f"resnet{number}": plan for number, plan in PLANS.items()}
_PLANS |= {
    "resnext50-32x4d": replace(PLANS["50"], groups=32, group_width=4),
    "resnext101-32x8d": replace(PLANS["101"], groups=32, group_width=8),
    "resnext101-64x4d": replace(PLANS["101"], groups=64, group_width=4),
    "wide-resnet50-2": replace(PLANS["50"], group_width=128),
    "wide-resnet101-2": replace(PLANS["101"], group_width=128),
}
_TITLES = (("wide-resnet", "Wide ResNet-"), ("resnext", "ResNeXt-"))


def read(shapes: Shapes) -> Sequence[Candidate]:
    """Read a member; the second reading has no max-pooling after the stem."""
    spec = read_resnet(shapes)
    if spec.kernel < 5:
        raise Unreadable
    spec = replace(spec, stem_stride=2, stem_pool=True)
    return [_candidate(spec), _candidate(replace(spec, stem_pool=False))]


def member(slug: str, size: Size) -> Candidate | None:
    """Build ``resnet50`` and its relatives as torchvision lays them out."""
    plan: Plan | None = _PLANS.get(slug)
    if plan is None:
        return None
    width = size.width or 64
    if width * plan.group_width % 64:
        width = 64  # too narrow for its groups
    spec = ResNetSpec(
        in_channels=size.in_channels,
        num_classes=size.num_classes,
        width=width,
        stages=plan.stages(width),
        kernel=7,
        stem_stride=2,
        stem_pool=True,
        shortcut_name="downsample",
        head_name="fc",
    )
    return _candidate(spec)


def _candidate(spec: ResNetSpec) -> Candidate:
    slug = published(spec.stages, spec.width, _PLANS)
    name = f"ResNet-{depth(spec.stages)}"
    for beginning, title in _TITLES:
        if slug and slug.startswith(beginning):
            name = title + slug.removeprefix(beginning)
    remarks = []
    if slug is None:
        remarks.append("its own widths")
    elif spec.width != 64:
        remarks.append(f"width {spec.width}")
    if not spec.stem_pool:
        remarks.append("no pooling after the stem")
    return Candidate(
        name=f"{name} ({', '.join(remarks)})" if remarks else name,
        slug=slug or "resnet-torchvision",
        steps=resnet(spec),
        num_classes=spec.num_classes,
        in_channels=spec.in_channels,
        image_size=imagenet_image_size(num_classes=spec.num_classes),
    )


FAMILY = Family(slugs=tuple(_PLANS), read=read, member=member)
