"""The input conventions of the field: how pixels become a network's input."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Convention(BaseModel):
    """``(pixel * scale - mean) / std`` for a pixel in [0, 1].

    mean and std hold one value, or one per channel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    scale: float = Field(1.0, gt=0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def suits(self, channels: int) -> bool:
        """Whether mean and std are given for this many channels."""
        return {len(self.mean), len(self.std)} <= {1, channels}


def _convention(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> Convention:
    return Convention(name=name, mean=mean, std=std)


CONVENTIONS: tuple[Convention, ...] = (
    Convention(name="[0, 1]"),
    _convention("[-1, 1]", (0.5,), (0.5,)),
    Convention(name="0-255", scale=255.0),
    _convention("ImageNet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    _convention("CIFAR-10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    _convention(
        "CIFAR-10, per-image std", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    ),
    _convention("CIFAR-100", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    _convention("GTSRB", (0.3403, 0.3121, 0.3214), (0.2724, 0.2608, 0.2669)),
    _convention("SVHN", (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    _convention("Tiny ImageNet", (0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)),
    _convention("CLIP", (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)),
    _convention("MNIST", (0.1307,), (0.3081,)),
    _convention("Fashion-MNIST", (0.2860,), (0.3530,)),
    _convention("gray CIFAR-10", (0.4789,), (0.2393,)),
)
