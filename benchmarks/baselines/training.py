"""What the baselines share: a copy of the model, and stochastic gradient descent."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation, augment
from rnp_cli.defense.samples import Samples

MOMENTUM = 0.9  # in every procedure here


def copied(model: nn.Module) -> nn.Module:
    """Copy a model whose weights will move; the caller's stays as it is."""
    return copy.deepcopy(model).requires_grad_(True)


def usual_augmentation(images: Tensor) -> Augmentation:
    """Return the field's augmentation: random crops, padded by 4 of 32 pixels, flips.

    Departure: gray images (digits) are not flipped, since a flipped digit is another.
    """
    channels, _, width = images.shape[1:]
    return Augmentation(crop_padding=width // 8, flip=channels == 3)


def fit(
    model: nn.Module,
    samples: Samples,
    *,
    rate: float,
    epochs: int,
    weight_decay: float,
    batch_size: int,
    seed: int,
    loss_of: Callable[[Tensor, Tensor], Tensor] | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> None:
    """Move all weights of ``model`` in place: SGD, the rate on a cosine to zero.

    loss_of: takes the images of a batch and their labels; the cross-entropy of the
    model unless given.
    """
    generator = torch.Generator().manual_seed(seed)
    how = usual_augmentation(samples.images)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    model.train()
    for _ in range(epochs):
        for batch in samples.batches(batch_size, generator):
            images = augment(batch.images, how, generator)
            if loss_of is None:
                loss = F.cross_entropy(model(images), batch.labels)
            else:
                loss = loss_of(images, batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after_step()
        schedule.step()
    model.eval()
