"""Pre-activation residual networks for small images.

Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016. As in the
public CIFAR-10 ports the shortcut projects the activated input without BatchNorm, and
the BatchNorm before the head (``bn``) may be absent. Names: ``layer1.0.bn1``,
``layer2.0.shortcut.0``, ``linear``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from rnp_cli.architectures.steps import (
    RELU,
    AveragePool,
    Block,
    Conv,
    Linear,
    Norm,
    Step,
    Steps,
)


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


def preact_resnet(spec: PreActSpec) -> Steps:
    """Lay out 3x3 stem, pre-activation stages, average pooling and linear head."""
    steps: list[Step] = [Conv("conv1", spec.in_channels, spec.width, 3)]
    for stage, blocks in enumerate(spec.stages, 1):
        steps += [
            _block(f"layer{stage}.{number}", block)
            for number, block in enumerate(blocks)
        ]
    width = spec.stages[-1][-1].out_channels
    if spec.final_norm:
        steps += [Norm("bn", width), RELU]
    head = Linear(spec.head_name, width * spec.side**2, spec.num_classes)
    return (*steps, AveragePool(spec.side), head)


def _block(name: str, block: BlockSpec) -> Block:
    entry, middle, out = block.in_channels, block.middle, block.out_channels
    stride = block.stride
    body: Steps
    if block.bottleneck:
        body = (
            Conv("conv1", entry, middle, 1),
            Norm("bn2", middle),
            RELU,
            Conv("conv2", middle, middle, 3, stride, block.groups),
            Norm("bn3", middle),
            RELU,
            Conv("conv3", middle, out, 1),
        )
    else:
        body = (
            Conv("conv1", entry, middle, 3, stride),
            Norm("bn2", middle),
            RELU,
            Conv("conv2", middle, out, 3),
        )
    projects = block.changes_shape
    return Block(
        name=name,
        entry=(Norm("bn1", entry), RELU),
        body=body,
        shortcut=(Conv("shortcut.0", entry, out, 1, stride),) if projects else (),
        shortcut_is_after_entry=projects,
    )


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
        steps=preact_resnet(spec),
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
