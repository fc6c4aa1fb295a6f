"""A network together with what it expects: images in, logits out."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from rnp_cli.data.conventions import Convention
from rnp_cli.data.decode import Fit

Output = Literal["logits", "probabilities", "log-probabilities"]


class InputSpec(BaseModel):
    """What a network expects of its images and gives back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int
    size: tuple[int, int]  # height, width
    fit: Fit
    convention: Convention
    output: Output = "logits"


class Classifier(nn.Module):
    """Images (batch, channel, height, width) in [0, 1] to logits (batch, class).

    A softmax or log-softmax at the end of the network is undone by its logarithm,
    so that a cross-entropy on the result is the right one.

    is_hurried: convolutions and matrix products are computed in bfloat16; parameters,
    statistics and logits stay in float32.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        self.is_hurried = False
        self._output = spec.output
        mean = torch.tensor(spec.convention.mean).view(1, -1, 1, 1)
        std = torch.tensor(spec.convention.std).view(1, -1, 1, 1)
        scale = torch.tensor(spec.convention.scale).view(1, 1, 1, 1)
        self.register_buffer("scale", scale / std, persistent=False)
        self.register_buffer("shift", mean / std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, class)."""
        fed = self.feed(images)
        with torch.autocast(fed.device.type, torch.bfloat16, enabled=self.is_hurried):
            output: Tensor = self.network(fed)
        return as_logits(output.float(), self._output)

    def feed(self, images: Tensor) -> Tensor:
        """Turn images in [0, 1] into what the network takes."""
        return images * self.scale - self.shift

    def hurried(self) -> Classifier:
        """Return a copy that is, where that costs no more than the last digits.

        A softmax at the end of the network would be rounded to one or zero.
        """
        hurried = copy.deepcopy(self)
        hurried.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        hurried.is_hurried = self._output == "logits"
        return hurried


def as_logits(output: Tensor, kind: Output) -> Tensor:
    """Undo a softmax up to a constant; log-probabilities serve as logits."""
    if kind == "probabilities":
        return output.clamp_min(torch.finfo(output.dtype).tiny).log()
    return output


def kind_of_output(output: Tensor) -> Output:
    """Tell logits from (log-)probabilities: output is (count, class)."""
    sums = output.double().sum(1)
    if (output >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        return "probabilities"
    total = output.double().exp().sum(1)
    if (output <= 0).all() and torch.allclose(total, torch.ones_like(total), atol=1e-3):
        return "log-probabilities"
    return "logits"
