"""The published procedure, computed in the way in which its authors' code computes it.

Settings and stopping points are those of ``baselines/published.py``. Here it is the way
that counts: a DataLoader that crops, flips, converts and normalises each image by
itself, batches of 128 in float32 and the usual memory format, and the clean holdout
evaluated after each epoch and for each threshold. A departure: the loader works in the
process itself, which on two cores is no slower.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from baselines.published import (
    ALPHA,
    ASCENT_EPOCHS,
    ASCENT_RATE,
    BATCH,
    FLOOR,
    MASK_EPOCHS,
    MASK_RATE,
    MILESTONES,
    THRESHOLDS,
    WEIGHT_DECAY,
)
from baselines.training import MOMENTUM
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from rnp_cli.defense.channels import Channel, find_channel_layers
from rnp_cli.defense.masks import MaskedModel, full_masks
from rnp_cli.defense.prune import prune
from rnp_cli.defense.samples import Samples

Batches = Iterable[tuple[Tensor, Tensor]]


class Images(Dataset[tuple[Tensor, int]]):
    """Images as PIL holds them, augmented and normalised one by one."""

    def __init__(
        self, samples: Samples, mean: Tensor, std: Tensor, *, is_augmented: bool
    ) -> None:
        pixels = (samples.images.cpu() * 255).round().byte().permute(0, 2, 3, 1)
        self._images = [Image.fromarray(p) for p in pixels.numpy().squeeze()]
        self._labels = samples.labels.tolist()
        self._mean, self._std = mean[0].cpu(), std[0].cpu()
        self._is_augmented = is_augmented

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._images[index]
        if self._is_augmented:
            width, height = image.size
            border = width // 8
            left, top = torch.randint(2 * border + 1, (2,)).tolist()
            image = ImageOps.expand(image, border)
            image = image.crop((left, top, left + width, top + height))
            if image.mode == "RGB" and torch.rand(()) < 0.5:
                image = ImageOps.mirror(image)
        pixels = np.asarray(image, dtype=np.float32) / 255
        tensor = torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1).contiguous()
        return (tensor - self._mean) / self._std, self._labels[index]


@dataclass(frozen=True, eq=False)
class Moved:
    """Batches, each moved to the device when its turn comes."""

    batches: Batches
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels on the device."""
        for images, labels in self.batches:
            yield images.to(self.device), labels.to(self.device)


def defend(
    network: nn.Module, fit: Samples, holdout: Samples, mean: Tensor, std: Tensor
) -> nn.Module:
    """Unlearn, recover, try each threshold; return the model of the largest that holds.

    network: takes normalised images. The ascent ends at its floor or its last epoch,
    whichever comes first: here it is time that counts.
    """
    torch.manual_seed(0)
    augmented = Images(fit, mean, std, is_augmented=True)
    device = fit.images.device
    loader = Moved(DataLoader(augmented, batch_size=BATCH, shuffle=True), device)
    plain = Images(holdout, mean, std, is_augmented=False)
    held_out = Moved(DataLoader(plain, batch_size=BATCH), device)
    first = torch.stack([plain[0][0], plain[1 % len(plain)][0]])
    layers = [
        layer
        for layer in find_channel_layers(network, first.to(device))
        if layer.kind == "batchnorm"
    ]
    unlearned = _unlearn(network, loader, held_out)
    masks = full_masks(layers, device)
    optimizer = torch.optim.SGD(masks.values(), lr=MASK_RATE, momentum=MOMENTUM)
    masked = MaskedModel(unlearned.train(), layers)
    for _ in range(MASK_EPOCHS if masks else 0):
        for images, labels in loader:
            loss = ALPHA * F.cross_entropy(masked(images, masks), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for mask in masks.values():
                    mask.clamp_(0, 1)
        _accuracy(unlearned, held_out)
    chosen = network
    for threshold in THRESHOLDS:
        channels = [
            Channel(name, index)
            for name, mask in masks.items()
            for index in (mask <= threshold).nonzero()[:, 0].tolist()
        ]
        pruned = prune(network, layers, channels).eval()
        if _accuracy(pruned, held_out) >= _accuracy(network, held_out) - 0.02:
            chosen = pruned
    return chosen


def _unlearn(network: nn.Module, loader: Batches, held_out: Batches) -> nn.Module:
    model = copy.deepcopy(network).requires_grad_(True)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=ASCENT_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(MILESTONES))
    for _ in range(ASCENT_EPOCHS):
        right = count = 0
        for images, labels in loader:
            logits = model.train()(images)
            optimizer.zero_grad()
            (-F.cross_entropy(logits, labels)).backward()
            optimizer.step()
            right += int((logits.argmax(1) == labels).sum())
            count += len(labels)
        schedule.step()
        _accuracy(model, held_out)
        if right / count <= FLOOR:
            break
    return model


@torch.no_grad()
def _accuracy(model: nn.Module, batches: Batches) -> float:
    model.eval()
    right = [model(images).argmax(1) == labels for images, labels in batches]
    return torch.cat(right).float().mean().item()
