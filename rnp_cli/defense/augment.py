"""The augmentation of the authors' code, where the network bears it.

Random crop after zero padding, and horizontal flip: right for CIFAR-10, wrong for
digits, where a flipped image is another class or none. Departure: an augmentation is
used only if the original model's clean accuracy survives it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import clean_accuracy


class Augmentation(BaseModel):
    """What is done at random to each batch of a fit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_padding: int = Field(0, ge=0)  # pixels on each side
    flip: bool = False


def augment(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Crop and flip each image of a batch (batch, channel, height, width)."""
    count, _, height, width = images.shape
    if how.flip:
        flipped = torch.rand(count, generator=generator) < 0.5
        chosen = flipped.to(images.device)[:, None, None, None]
        images = torch.where(chosen, images.flip(3), images)
    if how.crop_padding:
        pad = how.crop_padding
        shift = torch.randint(2 * pad + 1, (2, count, 1), generator=generator)
        rows, columns = shift.to(images.device)
        rows = rows + torch.arange(height, device=images.device)
        columns = columns + torch.arange(width, device=images.device)
        padded = F.pad(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
        index = torch.arange(count, device=images.device)[:, None, None]
        images = padded[index, rows[:, :, None], columns[:, None, :]]
        images = images.permute(0, 3, 1, 2)
    return images


def bearable_augmentation(
    model: nn.Module, samples: Samples, *, seed: int, tolerance: float = 0.1
) -> Augmentation:
    """Keep the augmentations that cost ``model`` at most ``tolerance`` accuracy."""
    accuracy = clean_accuracy(model, samples)

    def bears(how: Augmentation, distort: Callable[[Tensor], Tensor]) -> bool:
        distorted = Samples(distort(samples.images), samples.labels)
        return accuracy - clean_accuracy(model, distorted) <= tolerance

    generator = torch.Generator().manual_seed(seed)
    crop = Augmentation(crop_padding=max(1, samples.images.shape[3] // 8))
    flip = Augmentation(flip=True)
    return Augmentation(
        crop_padding=crop.crop_padding
        if bears(crop, lambda images: augment(images, crop, generator))
        else 0,
        flip=bears(flip, lambda images: images.flip(3)),
    )
