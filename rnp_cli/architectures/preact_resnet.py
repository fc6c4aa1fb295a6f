"""Pre-activation residual networks for small images.

Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016. As in the
public CIFAR-10 ports the shortcut projects the activated input without BatchNorm, and
the BatchNorm before the head (``bn``) may be absent. Names: ``layer1.0.bn1``,
``layer2.0.shortcut.0``, ``linear``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.architectures.architecture import Candidate, cifar_image_size
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.residual import (
    PLANS,
    BlockSpec,
    Stages,
    depth,
    published,
    read_stages,
)
from rnp_cli.architectures.shapes import Shapes


@dataclass(frozen=True, kw_only=True)
class PreActSpec:
    """A pre-activation network as numbers."""

    in_channels: int
    num_classes: int
    width: int
    stages: Stages
    final_norm: bool = False
    head_name: str = "linear"
    side: int = 1


class PreActResNet(nn.Module):
    """3x3 stem, pre-activation stages, average pooling, linear head.

    Images are (batch, in_channels, height, width) float32; the result is
    (batch, num_classes) logits.
    """

    def __init__(self, spec: PreActSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(spec.in_channels, spec.width, 3, 1, 1, bias=False)
        self._stages = [f"layer{number + 1}" for number in range(len(spec.stages))]
        for name, blocks in zip(self._stages, spec.stages, strict=True):
            self.add_module(name, nn.Sequential(*(_Block(block) for block in blocks)))
        width = spec.stages[-1][-1].out_channels
        self.bn = nn.BatchNorm2d(width) if spec.final_norm else None
        self.pool = nn.AdaptiveAvgPool2d(spec.side)
        self._head = spec.head_name
        self.add_module(self._head, nn.Linear(width * spec.side**2, spec.num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, num_classes)."""
        x: Tensor = self.conv1(images)
        for name in self._stages:
            x = self.get_submodule(name)(x)
        if self.bn is not None:
            x = F.relu(self.bn(x))
        logits: Tensor = self.get_submodule(self._head)(self.pool(x).flatten(1))
        return logits


class _Block(nn.Module):
    def __init__(self, block: BlockSpec) -> None:
        super().__init__()
        entry, middle, out = block.in_channels, block.middle, block.out_channels
        stride, groups = block.stride, block.groups
        self.bn1 = nn.BatchNorm2d(entry)
        if block.bottleneck:
            self.conv1 = nn.Conv2d(entry, middle, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(middle)
            self.conv2 = nn.Conv2d(
                middle, middle, 3, stride, 1, groups=groups, bias=False
            )
            self.bn3 = nn.BatchNorm2d(middle)
            self.conv3 = nn.Conv2d(middle, out, 1, bias=False)
        else:
            self.conv1 = nn.Conv2d(entry, middle, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(middle)
            self.conv2 = nn.Conv2d(middle, out, 3, 1, 1, bias=False)
        self._bottleneck = block.bottleneck
        self.shortcut = (
            nn.Sequential(nn.Conv2d(entry, out, 1, stride, bias=False))
            if block.changes_shape
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        if self._bottleneck:
            out = self.conv3(F.relu(self.bn3(out)))
        return out + (x if self.shortcut is None else self.shortcut(activated))


def read(shapes: Shapes) -> Sequence[Candidate]:
    """Read a member of any depth and width."""
    width = shapes.out("conv1.weight", "layer1.0.bn1.weight")
    stages = read_stages(shapes, width)
    head = shapes.named_head("linear", "fc", "classifier")
    spec = PreActSpec(
        in_channels=shapes.into("conv1.weight") if "conv1.weight" in shapes else 3,
        num_classes=shapes.out(f"{head}.weight"),
        width=width,
        stages=stages,
        final_norm="bn.weight" in shapes,
        head_name=head,
        side=shapes.pool_side(head, stages[-1][-1].out_channels),
    )
    return [_candidate(spec)]


def member(slug: str, size: Size) -> Candidate | None:
    """Build ``preactresnet18`` and its deeper relatives."""
    plan = PLANS.get(slug.removeprefix("preactresnet"))
    if plan is None or slug not in FAMILY.slugs:
        return None
    width = size.width or 64
    spec = PreActSpec(
        in_channels=size.in_channels,
        num_classes=size.num_classes,
        width=width,
        stages=plan.stages(width),
    )
    return _candidate(spec)


def _candidate(spec: PreActSpec) -> Candidate:
    number = published(spec.stages, spec.width, PLANS)
    name = f"PreActResNet-{depth(spec.stages)}"
    if number is None:
        name += " (its own widths)"
    elif spec.width != 64:
        name += f" (width {spec.width})"
    return Candidate(
        name=name,
        slug=f"preactresnet{number or ''}",
        build=partial(PreActResNet, spec),
        num_classes=spec.num_classes,
        in_channels=spec.in_channels,
        image_size=cifar_image_size(
            num_classes=spec.num_classes, in_channels=spec.in_channels
        ),
    )


FAMILY = Family(
    slugs=tuple(f"preactresnet{number}" for number in PLANS),
    read=read,
    member=member,
)
