"""Reconstructive Neuron Pruning as published, with its fixed thresholds.

Li et al., "Reconstructive Neuron Pruning for Backdoor Defense", ICML 2023, Algorithm 1,
with the settings of the authors' code. It stops unlearning on the running accuracy of
an epoch in train mode, masks the weights of BatchNorm alone, and leaves the threshold
open. Two answers to that are measured:

- 0.70, which BackdoorBench fixes;
- the largest of 0, 0.05, ... 0.90 that costs at most 2 points of clean accuracy on
  the defender's samples.

Images are cropped, padded by 4 of 32 pixels, and flipped, as in the authors' code.
Departures: batches of an epoch are of equal size (the authors' last one is smaller);
gray images are not flipped, since a flipped digit is another or none. Where nothing
would be saved (the floor is not reached, the ascent ends in NaN, there is no BatchNorm)
it fails.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.training import MOMENTUM, copied
from rnp_cli.defense.augment import Augmentation, augment
from rnp_cli.defense.channels import Channel, ChannelLayer, find_channel_layers
from rnp_cli.defense.masks import MaskedModel, full_masks
from rnp_cli.defense.prune import prune
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.errors import DefenseFailed

BATCH = 128
ASCENT_RATE = 0.01
ASCENT_EPOCHS = 21
MILESTONES = (10, 20)  # where the rate falls to a tenth
WEIGHT_DECAY = 5e-4
FLOOR = 0.20
MASK_RATE = 0.2
MASK_EPOCHS = 20
ALPHA = 0.2
FIXED = 0.70
THRESHOLDS = tuple(step / 20 for step in range(19))  # 0, 0.05, ... 0.90
BUDGET = 0.02


def at_fixed_threshold(model: nn.Module, samples: Samples, *, seed: int) -> nn.Module:
    """Prune at the threshold that BackdoorBench fixes."""
    layers, masks = _masks(model, samples, seed)
    return prune(model, layers, _channels(masks, FIXED)).eval()


def within_budget(model: nn.Module, samples: Samples, *, seed: int) -> nn.Module:
    """Prune at the largest threshold that the clean samples bear."""
    layers, masks = _masks(model, samples, seed)
    least = clean_accuracy(model, samples) - BUDGET - 1e-9
    for threshold in reversed(THRESHOLDS):
        pruned = prune(model, layers, _channels(masks, threshold)).eval()
        if clean_accuracy(pruned, samples) >= least:
            return pruned
    raise DefenseFailed("Every threshold costs more than 2 points of clean accuracy.")


def _channels(masks: dict[str, Tensor], threshold: float) -> list[Channel]:
    return [
        Channel(layer, index)
        for layer, mask in masks.items()
        for index in (mask <= threshold).nonzero()[:, 0].tolist()
    ]


def _augmentation(images: Tensor) -> Augmentation:
    channels, _, width = images.shape[1:]
    return Augmentation(crop_padding=width // 8, flip=channels == 3)


def _masks(
    model: nn.Module, samples: Samples, seed: int
) -> tuple[list[ChannelLayer], dict[str, Tensor]]:
    """Unlearn and recover; return the masked layers and their masks, (channel,)."""
    found = find_channel_layers(model, samples.images[:2])
    layers = [layer for layer in found if layer.kind == "batchnorm"]
    if not layers:
        raise DefenseFailed("There is no BatchNorm, and nothing else is masked.")
    generator = torch.Generator().manual_seed(seed)
    unlearned = _unlearn(model, samples, generator)
    return layers, _recover(unlearned, layers, samples, generator)


def _unlearn(
    model: nn.Module, samples: Samples, generator: torch.Generator
) -> nn.Module:
    model = copied(model).train()
    how = _augmentation(samples.images)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=ASCENT_RATE,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(MILESTONES))
    for _ in range(ASCENT_EPOCHS):
        right, total = 0, 0.0
        for batch in samples.batches(BATCH, generator):
            logits = model(augment(batch.images, how, generator))
            loss = F.cross_entropy(logits, batch.labels)
            optimizer.zero_grad()
            (-loss).backward()
            optimizer.step()
            right += int((logits.argmax(1) == batch.labels).sum())
            total += loss.item()
        schedule.step()
        if not math.isfinite(total):
            raise DefenseFailed("The ascent ended in NaN.")
        if right / len(samples) <= FLOOR:
            return model
    raise DefenseFailed(f"The floor was not reached in {ASCENT_EPOCHS} epochs.")


def _recover(
    unlearned: nn.Module,
    layers: list[ChannelLayer],
    samples: Samples,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    how = _augmentation(samples.images)
    masks = full_masks(layers, samples.images.device)
    optimizer = torch.optim.SGD(masks.values(), lr=MASK_RATE, momentum=MOMENTUM)
    masked = MaskedModel(unlearned, layers)
    for _ in range(MASK_EPOCHS):
        for batch in samples.batches(BATCH, generator):
            images = augment(batch.images, how, generator)
            loss = ALPHA * F.cross_entropy(masked(images, masks), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for mask in masks.values():
                    mask.clamp_(0, 1)
    if not all(bool(torch.isfinite(mask).all()) for mask in masks.values()):
        raise DefenseFailed("The recovery ended in NaN.")
    return {name: mask.detach() for name, mask in masks.items()}
