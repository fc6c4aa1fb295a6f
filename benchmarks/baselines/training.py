"""What the baselines share: a copy of the model, and stochastic gradient descent."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.defense.augment import augment, bearable_augmentation
from rnp_cli.defense.samples import Samples

MOMENTUM = 0.9  # in every procedure here


def copied(model: nn.Module) -> nn.Module:
    """Copy a model whose weights will move; the caller's stays as it is."""
    return copy.deepcopy(model).requires_grad_(True)


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

    Images are cropped and flipped as the model bears it, as the tool does it: right
    for CIFAR-10, wrong for digits, and papers say so for each data set.
    loss_of: takes the images of a batch and their labels; the cross-entropy of the
    model unless given.
    """
    generator = torch.Generator().manual_seed(seed)
    how = bearable_augmentation(model, samples, seed=seed)
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
