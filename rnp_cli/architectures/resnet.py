"""The post-activation residual network that several families share.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. As in
current practice a bottleneck strides in its 3x3 convolution, not in its first.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnp_cli.architectures.residual import BlockSpec, Shortcut, Stages, read_stages
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.architectures.steps import (
    RELU,
    AveragePool,
    Block,
    Conv,
    Linear,
    MaxPool,
    Norm,
    Pad,
    Step,
    Steps,
)


@dataclass(frozen=True, kw_only=True)
class ResNetSpec:
    """A residual network as numbers, and what its head and shortcuts are called."""

    in_channels: int
    num_classes: int
    width: int
    stages: Stages
    kernel: int = 3
    stem_stride: int = 1
    stem_pool: bool = False
    shortcut: Shortcut = "projection"
    shortcut_name: str = "shortcut"
    head_name: str = "linear"
    side: int = 1  # the head sees side x side values per channel


def resnet(spec: ResNetSpec) -> Steps:
    """Lay out stem, residual stages, average pooling and linear head."""
    steps: list[Step] = [
        Conv("conv1", spec.in_channels, spec.width, spec.kernel, spec.stem_stride),
        Norm("bn1", spec.width),
        RELU,
    ]
    if spec.stem_pool:
        steps.append(MaxPool(3, 2, 1))
    for stage, blocks in enumerate(spec.stages, 1):
        for number, block in enumerate(blocks):
            steps += [_block(f"layer{stage}.{number}", block, spec), RELU]
    values = spec.stages[-1][-1].out_channels * spec.side**2
    head = Linear(spec.head_name, values, spec.num_classes)
    return (*steps, AveragePool(spec.side), head)


def _block(name: str, block: BlockSpec, spec: ResNetSpec) -> Block:
    entry, middle, out = block.in_channels, block.middle, block.out_channels
    body: Steps
    if block.bottleneck:
        body = (
            Conv("conv1", entry, middle, 1),
            Norm("bn1", middle),
            RELU,
            Conv("conv2", middle, middle, 3, block.stride, block.groups),
            Norm("bn2", middle),
            RELU,
            Conv("conv3", middle, out, 1),
            Norm("bn3", out),
        )
    else:
        body = (
            Conv("conv1", entry, middle, 3, block.stride),
            Norm("bn1", middle),
            RELU,
            Conv("conv2", middle, out, 3),
            Norm("bn2", out),
        )
    return Block(name=name, body=body, shortcut=_shortcut(block, spec))


def _shortcut(block: BlockSpec, spec: ResNetSpec) -> Steps:
    if not block.changes_shape:
        return ()
    entry, out = block.in_channels, block.out_channels
    if spec.shortcut == "padding":  # option A: new channels are zero, on both sides
        new = out - entry
        return (Pad(block.stride, new // 2, new - new // 2),)
    name = spec.shortcut_name
    return Conv(f"{name}.0", entry, out, 1, block.stride), Norm(f"{name}.1", out)


def read_resnet(shapes: Shapes) -> ResNetSpec:
    """Read a spec from shapes; strides and stem pooling are left at their defaults.

    Raises Unreadable where this is not a residual network.
    """
    width = shapes.out("conv1.weight", "bn1.weight")
    head = shapes.named_head("linear", "fc", "classifier")
    stages = read_stages(shapes, width)
    return ResNetSpec(
        in_channels=shapes.into("conv1.weight") if "conv1.weight" in shapes else 3,
        num_classes=shapes.out(f"{head}.weight"),
        width=width,
        stages=stages,
        kernel=shapes.kernel("conv1.weight") if "conv1.weight" in shapes else 3,
        shortcut_name="downsample" if shapes.has(".downsample.") else "shortcut",
        head_name=head,
        side=shapes.pool_side(head, stages[-1][-1].out_channels),
    )
