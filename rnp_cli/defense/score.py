"""How good a model is on clean samples, always in eval mode."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples

_BATCH, _PIXELS = 256, 2**21  # at most; the latter are 41 images of 224 x 224
_ONE_SIDED = 1.645  # standard deviations that 95 % lie below


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every module into eval mode, and each back into its own mode after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Logits (count, class) in eval mode; the model is left as it was."""
    with evaluating(model):
        size = min(_BATCH, max(1, _PIXELS // images.shape[2:].numel()))
        return torch.cat([model(batch) for batch in images.split(size)])


def certain_loss(before: nn.Module, after: nn.Module, samples: Samples) -> float:
    """Share of ``samples`` lost between two models, less what chance explains.

    The lower end of a one-sided 95 % interval of the difference between two paired
    proportions (normal approximation, after McNemar); may be negative.
    """
    right = [
        (logits_of(model, samples.images).argmax(1) == samples.labels)
        for model in (before, after)
    ]
    lost = int((right[0] & ~right[1]).sum())
    won = int((right[1] & ~right[0]).sum())
    count = len(samples)
    return (lost - won) / count - _ONE_SIDED * math.sqrt(lost + won) / count


def clean_accuracy(model: nn.Module, samples: Samples) -> float:
    """Share of ``samples`` that the model labels correctly, in [0, 1]."""
    predicted = logits_of(model, samples.images).argmax(1)
    return (predicted == samples.labels).float().mean().item()
