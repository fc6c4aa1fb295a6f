"""The post-activation residual network that several families share.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. As in
current practice a bottleneck strides in its 3x3 convolution, not in its first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.architectures.residual import BlockSpec, Shortcut, Stages, read_stages
from rnp_cli.architectures.shapes import Shapes


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


class ResNet(nn.Module):
    """Stem, residual stages, average pooling, linear head.

    Images are (batch, in_channels, height, width) float32; the result is
    (batch, num_classes) logits.
    """

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            spec.in_channels,
            spec.width,
            spec.kernel,
            spec.stem_stride,
            spec.kernel // 2,
            bias=False,
        )
        self.bn1 = nn.BatchNorm2d(spec.width)
        self.stem_pool = nn.MaxPool2d(3, 2, 1) if spec.stem_pool else nn.Identity()
        self._stages = [f"layer{number + 1}" for number in range(len(spec.stages))]
        for name, blocks in zip(self._stages, spec.stages, strict=True):
            self.add_module(name, nn.Sequential(*(_Block(b, spec) for b in blocks)))
        self.pool = nn.AdaptiveAvgPool2d(spec.side)
        values = spec.stages[-1][-1].out_channels * spec.side**2
        self._head = spec.head_name
        self.add_module(self._head, nn.Linear(values, spec.num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, num_classes)."""
        x: Tensor = self.stem_pool(F.relu(self.bn1(self.conv1(images))))
        for name in self._stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.get_submodule(self._head)(self.pool(x).flatten(1))
        return logits


class _Block(nn.Module):
    def __init__(self, block: BlockSpec, spec: ResNetSpec) -> None:
        super().__init__()
        middle, out, stride = block.middle, block.out_channels, block.stride
        if block.bottleneck:
            self.conv1 = nn.Conv2d(block.in_channels, middle, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(middle)
            self.conv2 = nn.Conv2d(
                middle, middle, 3, stride, 1, groups=block.groups, bias=False
            )
            self.bn2 = nn.BatchNorm2d(middle)
            self.conv3 = nn.Conv2d(middle, out, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out)
        else:
            self.conv1 = nn.Conv2d(block.in_channels, middle, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(middle)
            self.conv2 = nn.Conv2d(middle, out, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
        self._bottleneck = block.bottleneck
        self._shortcut = spec.shortcut_name
        self.add_module(self._shortcut, _shortcut(block, spec.shortcut))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self._bottleneck:
            out = self.bn3(self.conv3(F.relu(out)))
        return F.relu(out + self.get_submodule(self._shortcut)(x))


class Padding(nn.Module):
    """The option-A shortcut: every second pixel, new channels zero on both sides."""

    def __init__(self, block: BlockSpec) -> None:
        super().__init__()
        self._stride = block.stride
        new = block.out_channels - block.in_channels
        self._padding = (0, 0, 0, 0, new // 2, new - new // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in, height, width) to (batch, out, height / 2, width / 2)."""
        return F.pad(x[:, :, :: self._stride, :: self._stride], self._padding)


def _shortcut(block: BlockSpec, kind: Shortcut) -> nn.Module:
    if not block.changes_shape:
        return nn.Identity()
    if kind == "padding":
        return Padding(block)
    out = block.out_channels
    conv = nn.Conv2d(block.in_channels, out, 1, block.stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


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
