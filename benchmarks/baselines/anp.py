"""Adversarial Neuron Pruning: prune what an adversary of the neurons would use.

Wu, Wang, "Adversarial Neuron Pruning Purifies Backdoored Deep Models", NeurIPS 2021,
section 4. Weights and biases of each neuron are perturbed, relatively and by at most
0.4, in the direction that raises the loss (one step of its sign from a random start);
masks in [0, 1] on the weights minimise 0.2 of the natural loss and 0.8 of the perturbed
one (SGD, rate 0.2, momentum 0.9, batches of 128). Neurons whose mask ends at or below
0.2 lose their weight; the bias stays. In networks with BatchNorm the neurons are its
channels, as in the authors' code; elsewhere those of convolutions and linear layers.

Departure: the paper's 2,000 steps are taken on a GPU only, 200 on a CPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from baselines.training import MOMENTUM, copied
from rnp_cli.defense.augment import augment, bearable_augmentation
from rnp_cli.defense.channels import ChannelLayer, find_channel_layers
from rnp_cli.defense.masks import full_masks
from rnp_cli.defense.prune import zero_rows
from rnp_cli.defense.samples import Samples
from rnp_cli.errors import DefenseFailed

EPSILON = 0.4
ALPHA = 0.2
RATE = 0.2
BATCH = 128
THRESHOLD = 0.2
STEPS = 2000
STEPS_ON_CPU = 200


def defend(model: nn.Module, samples: Samples, *, seed: int) -> nn.Module:
    """Return a pruned copy of ``model``."""
    layers = neurons(model, samples.images)
    steps = STEPS if samples.images.is_cuda else STEPS_ON_CPU
    masks = fit_masks(model, layers, samples, seed=seed, steps=steps)
    pruned = copied(model)
    rows = {
        f"{name}.weight": (mask <= THRESHOLD).nonzero()[:, 0].tolist()
        for name, mask in masks.items()
    }
    zero_rows(dict(pruned.named_parameters()), rows)
    return pruned.eval()


def neurons(model: nn.Module, images: Tensor) -> list[ChannelLayer]:
    """List the BatchNorm layers, or all layers where there is none."""
    found = find_channel_layers(model, images[:2])
    layers = [layer for layer in found if layer.kind == "batchnorm"] or list(found)
    if not layers:
        raise DefenseFailed("The network has no channels to prune.")
    return layers


def fit_masks(
    model: nn.Module,
    layers: list[ChannelLayer],
    samples: Samples,
    *,
    seed: int,
    steps: int,
) -> dict[str, Tensor]:
    """Return one mask per neuron, (channel,) per layer."""
    generator = torch.Generator().manual_seed(seed)
    how = bearable_augmentation(model, samples, seed=seed)
    masks = full_masks(layers, samples.images.device)
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


class _Perturbed:
    """A copy in train mode, whose neurons are masked and pushed."""

    def __init__(self, model: nn.Module, layers: list[ChannelLayer]) -> None:
        self._model = copied(model).requires_grad_(False).train()
        self._weights: dict[str, Tensor] = dict(self._model.named_parameters())
        self._masked = {f"{layer.name}.weight": layer.name for layer in layers}
        biases = [f"{layer.name}.bias" for layer in layers]
        self._pushed = [*self._masked, *(b for b in biases if b in self._weights)]

    def random_pushes(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw a relative push for each neuron's weight and bias, (channel,)."""
        pushes = {}
        for name in self._pushed:
            weight = self._weights[name]
            push = 2 * torch.rand(len(weight), generator=generator) - 1
            pushes[name] = (EPSILON * push).to(weight.device).requires_grad_(True)
        return pushes

    def __call__(
        self, images: Tensor, masks: dict[str, Tensor], pushes: dict[str, Tensor]
    ) -> Tensor:
        """Logits (batch, class)."""
        state = dict(self._weights)
        for name in self._pushed:
            weight = self._weights[name]
            factor = weight.new_ones(len(weight))
            if name in self._masked:
                factor = masks[self._masked[name]]
            if name in pushes:
                factor = factor + pushes[name]
            state[name] = weight * factor.view(-1, *[1] * (weight.ndim - 1))
        logits: Tensor = functional_call(self._model, state, (images,))
        return logits
