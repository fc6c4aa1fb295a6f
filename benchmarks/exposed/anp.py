"""Adversarial Neuron Pruning whose masks start where recovery left them.

As in ``baselines/anp.py``, but for the start: there every mask starts at 1, here at the
value that it was recovered to on the unlearned model. The steps are taken on the
original model, as there.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from baselines.anp import (
    ALPHA,
    BATCH,
    EPSILON,
    RATE,
    STEPS,
    STEPS_ON_CPU,
    THRESHOLD,
    _Perturbed,
    neurons,
)
from baselines.training import MOMENTUM, copied
from torch import Tensor, nn

from exposed.findings import Findings
from rnp_cli.defense.augment import augment, bearable_augmentation
from rnp_cli.defense.channels import ChannelLayer
from rnp_cli.defense.prune import zero_rows
from rnp_cli.defense.samples import Samples
from rnp_cli.errors import DefenseFailed


def defend(
    model: nn.Module, samples: Samples, *, findings: Findings, seed: int
) -> nn.Module:
    """Return a pruned copy of ``model``."""
    layers = neurons(model, samples.images)
    steps = STEPS if samples.images.is_cuda else STEPS_ON_CPU
    masks = fit_masks(model, layers, samples, findings.masks, seed=seed, steps=steps)
    pruned = copied(model)
    rows = {
        f"{name}.weight": (mask <= THRESHOLD).nonzero()[:, 0].tolist()
        for name, mask in masks.items()
    }
    zero_rows(dict(pruned.named_parameters()), rows)
    return pruned.eval()


def fit_masks(
    model: nn.Module,
    layers: list[ChannelLayer],
    samples: Samples,
    first: Mapping[str, Tensor],
    *,
    seed: int,
    steps: int,
) -> dict[str, Tensor]:
    """Return one mask per neuron, (channel,) per layer. first: where they start."""
    generator = torch.Generator().manual_seed(seed)
    how = bearable_augmentation(model, samples, seed=seed)
    device = samples.images.device
    masks = {
        layer.name: first[layer.name].to(device, copy=True).requires_grad_(True)
        for layer in layers
    }
    optimizer = torch.optim.SGD(masks.values(), lr=RATE, momentum=MOMENTUM)
    perturbed = _Perturbed(model, layers)
    size = min(BATCH, len(samples))
    for _ in range(steps):
        chosen = torch.randint(len(samples), (size,), generator=generator)
        batch = samples.take(chosen)
        images = augment(batch.images, how, generator)
        start = perturbed.random_pushes(generator)
        loss = F.cross_entropy(perturbed(images, masks, start), batch.labels)
        slopes = torch.autograd.grad(loss, list(start.values()))
        worst = {
            name: (value + EPSILON * slope.sign()).clamp(-EPSILON, EPSILON).detach()
            for (name, value), slope in zip(start.items(), slopes, strict=True)
        }
        natural = F.cross_entropy(perturbed(images, masks, {}), batch.labels)
        robust = F.cross_entropy(perturbed(images, masks, worst), batch.labels)
        optimizer.zero_grad()
        (ALPHA * natural + (1 - ALPHA) * robust).backward()
        optimizer.step()
        with torch.no_grad():
            for mask in masks.values():
                mask.clamp_(0, 1)
    if not all(bool(torch.isfinite(mask).all()) for mask in masks.values()):
        raise DefenseFailed("The masks ended in NaN.")
    return {name: mask.detach() for name, mask in masks.items()}
